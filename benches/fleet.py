"""Fleets, measured side by side: each figure is a median of interleaved rounds, and what it is a share of ran in the
same round. Prints one line a figure. Nothing is asserted: a machine is as fast as it is."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOKMAN = ROOT / "target/release/tokman"
PEER = ROOT / "target/release/examples/peer"
# On the disk that the project is on: a file system in memory would have nothing to fsync.
WORK = ROOT / "target/bench"

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))


class Run:
    """A program run to its end: seconds on the wall and of CPU, peak memory in KiB."""

    def __init__(self, argv, env=None, stdout=subprocess.DEVNULL, expect=0):
        began = time.monotonic()
        child = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE)
        said = child.stderr.read().decode(errors="replace")
        _, status, usage = os.wait4(child.pid, 0)
        self.wall = time.monotonic() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != expect:
            sys.exit(f"{argv[0]} {argv[1]}: {child.returncode}\n{said}")
        self.cpu = usage.ru_utime + usage.ru_stime
        self.rss = usage.ru_maxrss


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


def refresh_all(config, url, jobs=64):
    argv = [TOKMAN, "refresh", "--all", "--jobs", str(jobs), "--quiet"]
    return Run(argv, environment(config, url))


def bulk(keys=20_000, latency=20):
    """refresh --all against what its server and its disk allow, and against curl."""
    with Server(latency) as server:
        rows = []
        for _ in range(ROUNDS):
            posts = Run([PEER, "post", server.url, "64", str(keys)])
            shutil.rmtree(WORK / "write", ignore_errors=True)
            writes = Run([PEER, "write", str(WORK / "write"), str(keys)])
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
        say("create, fsync, rename, fsync in a loop", f"{rate(1, keys):.0f} files/s")
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
        status = Run([TOKMAN, "status", "-o", "json"], environment(config, url))
        fewer = Run([TOKMAN, "status", "-o", "json"], environment(small, url))
        cat = Run(["sh", "-c", f"find {config}/tokens -name '*.json' -print0 | xargs -0 cat"])
        rows.append((status, fewer, cat))
    say(f"status -o json of {keys} keys", f"{median([row[0].wall for row in rows]):.2f} s, "
        f"{median([row[0].rss for row in rows]) / 1024:.1f} MiB ({median([row[1].rss for row in rows]) / 1024:.1f} MiB for {keys // 10})")
    say("its CPU against find | xargs cat", f"{median([row[0].cpu / row[2].cpu for row in rows]):.2f} x")


SECTIONS = {"bulk": bulk, "many": many}

if __name__ == "__main__":
    private(WORK)
    try:
        for name in sys.argv[1:] or SECTIONS:
            SECTIONS[name]()
    finally:
        shutil.rmtree(WORK, ignore_errors=True)
