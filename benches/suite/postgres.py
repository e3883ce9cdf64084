"""A fleet's database: one token among many rows, and two machines that share the work."""

import threading
import time

from .cluster import Cluster, binaries, fill
from .measure import Comparison, Program, Run, median
from .places import ROUNDS, TOKMAN, count
from .server import Server
from .stores import ONE, PROFILE

NEEDS = ["hyperfine", "time", "strace"]
REFRESH_ALL = [TOKMAN, "refresh", "--all", "--jobs", "16", "--quiet"]


def run(found):
    if not binaries():
        found.skip("postgres: it is not installed")
        return
    with Cluster() as cluster, Server(200) as slow, Server(0) as quick:
        token(found, cluster, slow.url, count(200_000))
        for server, what in [(slow, "a provider of 200 ms"), (quick, "a provider of 0 ms")]:
            shared(found, cluster, server, what, count(1_280))


def token(found, cluster, url, rows):
    """One of many rows, and psql asking for the same. The table is empty again at the end."""
    environ = cluster.machine("one", url)
    fill(environ, 1, url, fresh=True)
    table = cluster.psql("select table_schema || '.' || table_name from information_schema.columns "
                         "where column_name = 'generation' and table_schema not in ('pg_catalog','information_schema')")
    columns = cluster.psql(f"select string_agg(column_name, ',') from information_schema.columns "
                           f"where table_schema || '.' || table_name = '{table}' and column_name <> 'profile'")
    cluster.psql(f"insert into {table} (profile, {columns}) "
                 f"select 'x' || n, {columns} from {table}, generate_series(1, {rows}) n")
    cluster.psql(f"vacuum analyze {table}")
    query = f"select record from {table} where provider = 'square' and profile = '{PROFILE}'"
    ours = Program("tokman token", [TOKMAN, "token", *ONE], environ, runs=20)
    compared = Comparison([Program("psql -c", cluster.query(query), environ, runs=20), ours])
    found.programs(compared, "psql -c")
    found.figure("postgres.token", compared.ratios("tokman token", "psql -c")[0])
    found.note("rows that the token is among", f"{rows:,}")
    cluster.psql(f"truncate {table}")


def shared(found, cluster, server, what, keys):
    """All keys by one machine, and by two at once."""
    rows = []
    for _ in range(ROUNDS):
        machines = [cluster.machine(name, server.url) for name in ("one", "two")]
        fill(machines[0], keys, server.url)
        server.seen()
        alone = Run(REFRESH_ALL, machines[0])
        requests = server.seen()[1]
        fill(machines[0], keys, server.url)
        server.seen()
        began = time.monotonic()
        both = [threading.Thread(target=Run, args=(REFRESH_ALL, machine)) for machine in machines]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join()
        together = time.monotonic() - began
        rows.append((together / alone.wall, alone.wall, requests, server.seen()[1], alone.cpu))
    share, wall, requests, both, cpu = (median(column) for column in zip(*rows))
    found.note(f"{keys:,} keys in PostgreSQL, {what}", f"one machine {wall:.1f} s ({requests:.0f} requests, "
               f"{cpu / keys * 1000:.2f} ms of CPU a key), two of them {share:.2f} of that ({both:.0f} requests)")
