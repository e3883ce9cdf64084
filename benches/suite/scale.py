"""What a refresh costs a fleet's machine and its database: the numbers that docs/scale.md reckons with. Against the
emulator, which is as strict as Square, at three times the rate of ten million tokens in seven days."""

import json
import os
import subprocess
from pathlib import Path

from .cluster import Cluster, binaries, imported
from .measure import Run, median
from .places import ROUNDS, TOKMAN, count

NEEDS = ["curl", "time"]
RATE = 50


def run(found):
    if not binaries():
        found.skip("scale: PostgreSQL is not installed")
        return
    keys = count(4_000)
    with Cluster() as cluster:
        emulator = subprocess.Popen([TOKMAN, "emulator", "--auto-approve", "--port", "0", "--latency", "200ms"],
                                    stdout=subprocess.PIPE, text=True)
        try:
            environ = settings(cluster, emulator)
            refreshes(found, cluster, environ, keys)
        finally:
            emulator.terminate()
            emulator.wait()
        looks(found, cluster, environ, count(200_000))


def settings(cluster, emulator):
    """The environment that the emulator prints, and the database."""
    said = {}
    for line in emulator.stdout:
        name, _, value = line.strip().partition("=")
        said[name] = value
        if "TOKMAN_EMULATOR_ISSUER" in said:
            break
    environ = cluster.machine("one", said["TOKMAN_SQUARE_BASE_URL"])
    return environ | {name: said[name] for name in said if name.startswith("TOKMAN_SQUARE")}


def consented(environ):
    """The record of one merchant's consent."""
    do = lambda argv, **more: subprocess.run(argv, env=environ, text=True, check=True, stdout=subprocess.PIPE, **more).stdout
    quiet = {"stderr": subprocess.DEVNULL}
    address = do([TOKMAN, "obtain", "-p", "square", "--print-url"], **quiet).strip()
    back = do(["curl", "-sS", "-o", "/dev/null", "-w", "%{redirect_url}", address])
    do([TOKMAN, "obtain", "-p", "square", "-o", "none", "--code", "-"], input=back, **quiet)
    return json.loads(do([TOKMAN, "export", "-p", "square"]))


def refreshes(found, cluster, environ, keys):
    """A merchant's refresh token is good as often as it is used: one stands for all of them."""
    one = consented(environ)
    due = {"expires_at": "2026-01-31T00:00:00Z", "generation": 1}
    records = (one | {"tokman": one["tokman"] | due | {"profile": f"m{number:0>7}"}} for number in range(keys))
    took = imported(environ, records)
    found.note(f"import of {keys} tokens into PostgreSQL", f"{keys / took.wall:.0f} tokens/s")
    before, spent = counters(cluster), ticks()
    run = Run([TOKMAN, "refresh", "--all", "--rate", f"{RATE}/s", "--jobs", "64", "--quiet"], environ, peak=True)
    spent = (ticks() - spent) / os.sysconf("SC_CLK_TCK")
    wal, commits, updates, hot = (after - before for before, after in zip(before, counters(cluster)))
    size = int(cluster.psql("select pg_total_relation_size('tokman.token')"))
    peak = f", peak memory {run.peak / 1e6:.1f} MB" if run.peak else ""
    found.note(f"{keys} refreshes at {RATE}/s, 200 ms", f"{keys / run.wall:.1f} keys/s, {run.cpu / keys * 1000:.2f} ms of CPU "
               f"and {spent / keys * 1000:.2f} ms of the database's a key{peak}")
    found.note("the database's writes for a refresh", f"{commits / keys:.1f} transactions, {updates / keys:.1f} row versions "
               f"({hot / max(updates, 1):.0%} without an index), {wal / keys / 1024:.1f} KiB of log; "
               f"{size / keys / 1024:.1f} KiB a token with its dead rows")


def looks(found, cluster, environ, keys):
    """How long a look at every row takes, in a table as autovacuum keeps it."""
    cluster.psql("INSERT INTO tokman.token (provider, profile, record, generation) "
                 "SELECT provider, 'x' || n, replace(record, profile, 'x' || n), generation "
                 f"FROM (SELECT * FROM tokman.token LIMIT 1) AS one, generate_series(1, {keys}) AS n")
    cluster.psql("VACUUM ANALYZE tokman.token")
    keys = int(cluster.psql("SELECT count(*) FROM tokman.token"))
    looked = [Run([TOKMAN, "check"], environ) for _ in range(ROUNDS)]
    found.note(f"looking through a table of {keys}", f"{median(look.wall for look in looked) / keys * 1e6:.1f} us a key, "
               f"{median(look.cpu for look in looked) / keys * 1e6:.1f} us of them CPU of the machine that looks")


def counters(cluster):
    """Bytes of log, transactions, row versions, and those of them that touched no index."""
    queries = ("select wal_bytes from pg_stat_wal", "select xact_commit from pg_stat_database where datname = 'postgres'",
               "select sum(n_tup_upd) from pg_stat_user_tables", "select sum(n_tup_hot_upd) from pg_stat_user_tables")
    return [int(cluster.psql("select pg_stat_force_next_flush(); " + query).split()[-1]) for query in queries]


def ticks():
    """What all of the machine's PostgreSQL took of the CPU."""
    return sum(int(field) for stat in Path("/proc").glob("[0-9]*/stat") for field in times(stat))


def times(stat):
    try:
        said = stat.read_text()
    except OSError:
        return []
    return said.rpartition(")")[2].split()[11:15] if "(postgres)" in said else []
