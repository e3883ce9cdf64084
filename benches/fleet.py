"""Fleets, measured side by side: each figure is a median of interleaved rounds, and what it is a share of ran in the
same round. Prints one line a figure. Nothing is asserted: a machine is as fast as it is."""

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOKMAN = ROOT / "target/release/tokman"
PEER = ROOT / "target/release/examples/peer"
# On the disk that the project is on: a file system in memory would have nothing to fsync.
WORK = ROOT / "target/bench"

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))


class Run:
    """A program run to its end: seconds on the wall and of CPU; with `peak` its peak memory in KiB, as GNU time tells it:
    what the system says of a child of ours counts this interpreter, too."""

    def __init__(self, argv, env=None, stdin=subprocess.DEVNULL, expect=0, peak=False):
        said_peak = WORK / "peak"
        if peak and not Path("/usr/bin/time").exists():
            sys.exit("GNU time is needed for peak memory: apt-get install time")
        argv = ["/usr/bin/time", "-q", "-f", "%M", "-o", said_peak, *argv] if peak else argv
        began = time.monotonic()
        child = subprocess.Popen(argv, env=env, stdin=stdin, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        said = child.stderr.read().decode(errors="replace")
        _, status, usage = os.wait4(child.pid, 0)
        self.wall = time.monotonic() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != expect:
            sys.exit(f"{argv[0]} {argv[1]}: {child.returncode}\n{said}")
        self.cpu = usage.ru_utime + usage.ru_stime
        self.rss = int(said_peak.read_text()) if peak else 0


class Server:
    """The token endpoint, answering after so many milliseconds."""

    def __init__(self, milliseconds):
        self.child = subprocess.Popen(
            [PEER, "serve", str(milliseconds)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.url = self.child.stdout.readline().strip()

    def seen(self):
        """Connections and requests since this was asked last."""
        self.child.stdin.write("\n")
        self.child.stdin.flush()
        return tuple(map(int, self.child.stdout.readline().split()))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.stdin.close()
        self.child.wait()


def record(provider, profile, url, number):
    """A stored token of Square's that is long due."""
    return {
        "access_token": f"EAAAE{number:0>59}",
        "token_type": "bearer",
        "expires_at": "2026-01-31T00:00:00Z",
        "merchant_id": f"M{number:0>12}",
        "refresh_token": f"EQAAE{number:0>59}",
        "tokman": {
            "version": 1, "provider": provider, "profile": profile, "kind": "square", "grant": "authorization_code",
            "client_id": "c", "base_url": url, "account": f"M{number:0>12}",
            "obtained_at": "2025-12-01T00:00:00Z", "refreshed_at": "2026-01-01T00:00:00Z",
            "expires_at": "2026-01-31T00:00:00Z", "refresh_token_expires_at": None, "scopes": [], "generation": 1,
        },
    }


def private(path):
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def store(name, count, url, fresh=False):
    """A config directory with so many tokens."""
    config = WORK / name
    shutil.rmtree(config, ignore_errors=True)
    tokens = private(private(private(config) / "tokens") / "square")
    for number in range(count):
        profile = f"m{number:0>7}"
        token = record("square", profile, url, number)
        if fresh:
            token["expires_at"] = token["tokman"]["expires_at"] = "2099-01-01T00:00:00Z"
        handle = os.open(tokens / f"{profile}.json", os.O_CREAT | os.O_WRONLY, 0o600)
        os.write(handle, json.dumps(token, indent=2).encode())
        os.close(handle)
    os.sync()
    return config


def environment(config, url):
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(config),
        "TOKMAN_CONFIG_DIR": str(config),
        "TOKMAN_SQUARE_CLIENT_ID": "c",
        "TOKMAN_SQUARE_CLIENT_SECRET": "s",
        "TOKMAN_SQUARE_BASE_URL": url,
    }


def median(values):
    return statistics.median(values)


def say(what, figure):
    print(f"figure: {what}: {figure}", flush=True)


def refresh_all(config, url, jobs=64, environ=None):
    argv = [TOKMAN, "refresh", "--all", "--jobs", str(jobs), "--quiet"]
    return Run(argv, environ or environment(config, url), peak=environ is None)


def bulk(keys=20_000, latency=20):
    """refresh --all against what its server and its disk allow, and against curl."""
    with Server(latency) as server:
        rows = []
        for _ in range(ROUNDS):
            posts = Run([PEER, "post", server.url, "64", str(keys)])
            # It replaces as many records as the run does: a file system that has to free the old one has more to do.
            there = store("write", keys, server.url) / "tokens/square"
            writes = Run([PEER, "write", str(there), str(keys)])
            config = store("bulk", keys, server.url)
            server.seen()
            all_ = refresh_all(config, server.url)
            connections, requests = server.seen()
            small = refresh_all(store("small", keys // 10, server.url), server.url)
            curl = curls(server.url, keys // 10)
            rows.append((posts, writes, all_, small, curl, connections, requests))
        rate = lambda at, count: median([count / row[at].wall for row in rows])
        ceiling = [min(keys / row[0].wall, keys / row[1].wall) for row in rows]
        share = median([keys / row[2].wall / top for row, top in zip(rows, ceiling)])
        say(f"64 bare connections, {latency} ms", f"{rate(0, keys):.0f} posts/s")
        say("create, fsync, rename over the old record, fsync, in a loop", f"{rate(1, keys):.0f} files/s")
        say(f"refresh --all --jobs 64, {keys} keys", f"{rate(2, keys):.0f} keys/s, {share:.2f} of the lower ceiling")
        say("xargs -P64 curl", f"{rate(4, keys // 10):.0f} posts/s; refresh --all is "
            f"{median([keys / row[2].wall / (keys // 10 / row[4].wall) for row in rows]):.1f} x as fast")
        say("CPU per token", f"{median([row[2].cpu / keys * 1000 for row in rows]):.2f} ms")
        say("peak memory", f"{median([row[2].rss for row in rows]) / 1024:.1f} MiB, "
            f"{median([row[2].rss / row[3].rss for row in rows]):.2f} x that of {keys // 10} keys")
        say("time", f"{median([row[2].wall / row[3].wall for row in rows]):.1f} x that of {keys // 10} keys")
        say("connections and requests of a run", f"{rows[-1][5]} and {rows[-1][6]}")


def curls(url, count):
    body = json.dumps({"client_id": "c", "client_secret": "s", "grant_type": "refresh_token", "refresh_token": "r"})
    command = (
        f"seq {count} | xargs -P64 -I@ curl -sS -o /dev/null -H 'content-type: application/json' "
        f"-d '{body}' {url}/oauth2/token"
    )
    return Run(["sh", "-c", command])


def many(keys=100_000):
    """A store of many keys: one of them, and all of them."""
    url = "https://connect.squareup.com"
    one, config = store("one", 1, url, fresh=True), store("many", keys, url, fresh=True)
    profile = "m0000000"
    token = lambda config: Run([TOKMAN, "token", "-p", "square", "-n", profile], environment(config, url))
    pairs = [(token(one).wall, token(config).wall) for _ in range(200)]
    share = median([many / one for one, many in pairs])
    say(f"token among {keys} keys", f"{median([pair[1] for pair in pairs]) * 1000:.2f} ms, {share:.2f} x that of a store of one")
    small = store("fewer", keys // 10, url, fresh=True)
    rows = []
    for _ in range(ROUNDS):
        status = Run([TOKMAN, "status", "-o", "json"], environment(config, url), peak=True)
        fewer = Run([TOKMAN, "status", "-o", "json"], environment(small, url), peak=True)
        cat = Run(["sh", "-c", f"find {config}/tokens -name '*.json' -print0 | xargs -0 cat"])
        rows.append((status, fewer, cat))
    say(f"status -o json of {keys} keys", f"{median([row[0].wall for row in rows]):.2f} s, "
        f"{median([row[0].rss for row in rows]) / 1024:.1f} MiB ({median([row[1].rss for row in rows]) / 1024:.1f} MiB for {keys // 10})")
    say("its CPU against find | xargs cat", f"{median([row[0].cpu / row[2].cpu for row in rows]):.2f} x")


class Cluster:
    """A PostgreSQL server of our own, with its defaults: what it says is committed is on the disk."""

    def __init__(self):
        self.dir = Path(tempfile.mkdtemp(prefix="tokman-bench-"))
        shutil.chown(self.dir, "postgres", "postgres")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.bin = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
        self.user("initdb", "-D", "data", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = f"-p {self.port} -k {self.dir} -c listen_addresses=127.0.0.1"
        self.user("pg_ctl", "-D", "data", "-l", "log", "-w", "-o", options, "start")
        self.url = f"postgres://postgres@127.0.0.1:{self.port}/postgres?sslmode=disable"

    def user(self, program, *words):
        argv = ["runuser", "-u", "postgres", "--", self.bin / program, *words]
        subprocess.run(argv, cwd=self.dir, check=True, stdout=subprocess.DEVNULL)

    def psql(self, command):
        argv = [self.bin / "psql", "-XAtq", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-c", command]
        return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.user("pg_ctl", "-D", "data", "-m", "immediate", "stop")
        shutil.rmtree(self.dir, ignore_errors=True)


def in_database(cluster, name, url):
    """The environment of a machine whose tokens are in a database."""
    key = WORK / "store.key"
    if not key.exists():
        handle = os.open(key, os.O_CREAT | os.O_WRONLY, 0o600)
        os.write(handle, subprocess.run([TOKMAN, "key", "new"], check=True, capture_output=True).stdout)
        os.close(handle)
    shutil.rmtree(WORK / name, ignore_errors=True)
    environ = environment(private(WORK / name), url)
    return environ | {"TOKMAN_STORE": cluster.url, "TOKMAN_STORE_KEY_FILE": str(key)}


def fill(environ, keys, url, fresh=False):
    """Stores so many tokens, each of them whole."""
    lines = WORK / "lines"
    with open(lines, "w") as out:
        for number in range(keys):
            token = record("square", f"m{number:0>7}", url, number)
            if fresh:
                token["expires_at"] = token["tokman"]["expires_at"] = "2099-01-01T00:00:00Z"
            out.write(json.dumps(token) + "\n")
    with open(lines) as stdin:
        Run([TOKMAN, "import", "--replace", "--quiet"], environ, stdin)


def postgres(rows=200_000, keys=1_280):
    """A fleet's database: one token among many rows, and two machines that share the work."""
    if not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        print("skipped: postgres: it is not installed")
        return
    with Cluster() as cluster, Server(200) as slow, Server(0) as quick:
        one = in_database(cluster, "one", slow.url)
        fill(one, 1, slow.url, fresh=True)
        table = cluster.psql("select table_schema || '.' || table_name from information_schema.columns "
                             "where column_name = 'generation' and table_schema not in ('pg_catalog','information_schema')")
        columns = cluster.psql(f"select string_agg(column_name, ',') from information_schema.columns "
                               f"where table_schema || '.' || table_name = '{table}' and column_name <> 'profile'")
        cluster.psql(f"insert into {table} (profile, {columns}) "
                     f"select 'x' || n, {columns} from {table}, generate_series(1, {rows}) n")
        cluster.psql(f"vacuum analyze {table}")
        query = f"select record from {table} where provider = 'square' and profile = 'm0000000'"
        psql = [cluster.bin / "psql", "-XAtq", "-h", "127.0.0.1", "-p", str(cluster.port), "-U", "postgres", "-c", query]
        token = [TOKMAN, "token", "-p", "square", "-n", "m0000000"]
        pairs = [(Run(psql).wall, Run(token, one).wall) for _ in range(100)]
        say(f"token among {rows} rows", f"{median([pair[1] for pair in pairs]) * 1000:.1f} ms; psql -c of the same row "
            f"{median([pair[0] for pair in pairs]) * 1000:.1f} ms, {median([b / a for a, b in pairs]):.2f} x")
        cluster.psql(f"truncate {table}")
        for server, what in [(slow, "a provider of 200 ms"), (quick, "a provider of 0 ms")]:
            shares = []
            for _ in range(ROUNDS):
                machines = [in_database(cluster, name, server.url) for name in ("one", "two")]
                fill(machines[0], keys, server.url)
                server.seen()
                alone = Run([TOKMAN, "refresh", "--all", "--jobs", "16", "--quiet"], machines[0])
                requests = server.seen()[1]
                fill(machines[0], keys, server.url)
                server.seen()
                began = time.monotonic()
                both = [threading.Thread(target=refresh_all, args=(None, None, 16, machine)) for machine in machines]
                for thread in both:
                    thread.start()
                for thread in both:
                    thread.join()
                together = time.monotonic() - began
                shares.append((together / alone.wall, alone.wall, requests, server.seen()[1], alone.cpu))
            share, wall, requests, shared, cpu = (median(column) for column in zip(*shares))
            say(f"{keys} keys in PostgreSQL, {what}", f"one machine {wall:.1f} s ({requests:.0f} requests, "
                f"{cpu / keys * 1000:.2f} ms of CPU a key), two of them {share:.2f} of that ({shared:.0f} requests)")


def scale(keys=4_000, rate=50):
    """What a refresh costs a fleet's machine and its database: the numbers that docs/scale.md reckons with. Against the
    emulator, which is as strict as Square, at three times the rate of ten million tokens in seven days."""
    if not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        print("skipped: scale: PostgreSQL is not installed")
        return
    with Cluster() as cluster:
        emulator = subprocess.Popen([TOKMAN, "emulator", "--auto-approve", "--port", "0", "--latency", "200ms"],
                                    stdout=subprocess.PIPE, text=True)
        said = {}
        for line in emulator.stdout:
            name, _, value = line.strip().partition("=")
            said[name] = value
            if "TOKMAN_EMULATOR_ISSUER" in said:
                break
        url = said["TOKMAN_SQUARE_BASE_URL"]
        environ = in_database(cluster, "one", url) | {name: said[name] for name in said if name.startswith("TOKMAN_SQUARE")}
        # One merchant consents; his refresh token, good as often as it is used, stands for all of them.
        token = lambda *words: [TOKMAN, *words]
        address = subprocess.run(token("obtain", "-p", "square", "--print-url"), env=environ, capture_output=True, text=True, check=True)
        back = subprocess.run(["curl", "-sS", "-o", "/dev/null", "-w", "%{redirect_url}", address.stdout.strip()], capture_output=True, text=True, check=True)
        subprocess.run(token("obtain", "-p", "square", "-o", "none", "--code", "-"), env=environ, input=back.stdout, text=True, check=True, stderr=subprocess.DEVNULL)
        one = json.loads(subprocess.run(token("export", "-p", "square"), env=environ, capture_output=True, text=True, check=True).stdout)
        with open(WORK / "lines", "w") as out:
            for number in range(keys):
                one["tokman"] |= {"profile": f"m{number:0>7}", "expires_at": "2026-01-31T00:00:00Z", "generation": 1}
                out.write(json.dumps(one) + "\n")
        with open(WORK / "lines") as stdin:
            imported = Run(token("import", "--quiet"), environ, stdin)
        say(f"import of {keys} tokens into PostgreSQL", f"{keys / imported.wall:.0f} tokens/s")
        counters = ("select wal_bytes from pg_stat_wal", "select xact_commit from pg_stat_database where datname = 'postgres'",
                    "select sum(n_tup_upd) from pg_stat_user_tables", "select sum(n_tup_hot_upd) from pg_stat_user_tables")
        look = lambda: [int(cluster.psql("select pg_stat_force_next_flush(); " + sql).split()[-1]) for sql in counters]
        ticks = lambda: sum(int(field) for stat in Path("/proc").glob("[0-9]*/stat") if is_postgres(stat)
                            for field in stat.read_text().rpartition(")")[2].split()[11:13])
        before, spent = look(), ticks()
        run = Run(token("refresh", "--all", "--rate", f"{rate}/s", "--jobs", "64", "--quiet"), environ, peak=True)
        spent = (ticks() - spent) / os.sysconf("SC_CLK_TCK")
        after = look()
        wal, commits, updates, hot = (b - a for a, b in zip(before, after))
        emulator.terminate()
        looked = [Run(token("check"), environ) for _ in range(ROUNDS)]
        say("looking through the table", f"{median([look.wall for look in looked]) / keys * 1e6:.0f} us a key, "
            f"{median([look.cpu for look in looked]) / keys * 1e6:.0f} us of them CPU of the machine that looks")
        size = int(cluster.psql("select pg_total_relation_size('tokman.token')"))
        say(f"{keys} refreshes at {rate}/s, 200 ms", f"{keys / run.wall:.1f} keys/s, {run.cpu / keys * 1000:.2f} ms of CPU and "
            f"{spent / keys * 1000:.2f} ms of the database's a key, peak memory {run.rss / 1024:.1f} MiB")
        say("the database's writes for a refresh", f"{commits / keys:.1f} transactions, {updates / keys:.1f} row versions "
            f"({hot / max(updates, 1):.0%} without an index), {wal / keys / 1024:.1f} KiB of log; "
            f"{size / keys / 1024:.1f} KiB a token with its dead rows")


def is_postgres(stat):
    try:
        return "(postgres)" in stat.read_text()
    except OSError:
        return False


def start():
    """A stored token printed, against `cat` of its file; and one refresh, against curl doing the same post."""
    url = "https://connect.squareup.com"
    one, among = store("one", 1, url, fresh=True), store("among", 10_000, url, fresh=True)
    environ = environment(one, url)
    token = [TOKMAN, "token", "-p", "square", "-n", "m0000000"]
    cat = ["cat", str(one / "tokens/square/m0000000.json")]
    rows = [(Run(cat, environ), Run(token, environ)) for _ in range(600)]
    ratio = lambda of: median([of(ours) / of(its) for its, ours in rows if of(its) > 0])
    say("a stored token against cat of its file", f"{median([row[1].wall for row in rows]) * 1000:.2f} ms against "
        f"{median([row[0].wall for row in rows]) * 1000:.2f} ms: {ratio(lambda run: run.wall):.2f} x; CPU {ratio(lambda run: run.cpu):.2f} x; "
        f"peak memory {Run(token, environ, peak=True).rss / 1024:.1f} MiB")
    if shutil.which("valgrind"):
        counts = [instructions(argv, env) for argv, env in
                  [(token, environ), (cat, environ), (token, environment(among, url))]]
        say("instructions of a stored token", f"{counts[0]:,}; cat {counts[1]:,}; among 10,000 others {counts[2] / counts[0]:.3f} x")
    if shutil.which("strace"):
        said = subprocess.run(["strace", "-fc", *token], env=environ, capture_output=True, text=True).stderr
        calls = {fields[-1]: int(fields[3]) for fields in map(str.split, said.splitlines()) if len(fields) >= 5 and fields[3].isdigit()}
        say("system calls of a stored token", f"{calls.get('total')}, sockets {calls.get('socket', 0)}, threads {calls.get('clone3', 0)}")
    with Server(0) as server:
        due = environment(store("due", 1, server.url), server.url)
        body = json.dumps({"client_id": "c", "client_secret": "s", "grant_type": "refresh_token", "refresh_token": "r"})
        curl = ["curl", "-sS", "-o", "/dev/null", "-H", "content-type: application/json", "-d", body, f"{server.url}/oauth2/token"]
        refresh = [TOKMAN, "refresh", "-p", "square", "-n", "m0000000", "--force", "-o", "none"]
        rows = [(Run(curl, due), Run(refresh, due)) for _ in range(200)]
        say("a refresh on the disk against curl doing the post alone",
            f"{median([row[1].wall for row in rows]) * 1000:.1f} ms against {median([row[0].wall for row in rows]) * 1000:.1f} ms: "
            f"{median([ours.wall / its.wall for its, ours in rows]):.2f} x; CPU {median([ours.cpu / its.cpu for its, ours in rows]):.2f} x")
    say("the binary", f"{TOKMAN.stat().st_size / 1e6:.1f} MB")


def instructions(argv, environ):
    """How many instructions a program takes, its loading included."""
    argv = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={WORK / 'callgrind'}", *argv]
    said = subprocess.run(argv, env=environ, capture_output=True, text=True).stderr
    return int(said.split("Collected :")[1].split()[0])


SECTIONS = {"start": start, "bulk": bulk, "many": many, "postgres": postgres, "scale": scale}

if __name__ == "__main__":
    private(WORK)
    try:
        for name in sys.argv[1:] or SECTIONS:
            SECTIONS[name]()
    finally:
        shutil.rmtree(WORK, ignore_errors=True)
