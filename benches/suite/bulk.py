"""All keys refreshed: against what the server and the disk allow, against curl, and against a script of one's own."""

import shlex
import shutil

from . import tools
from .measure import Program, Run, median
from .places import COMPARED, PEER, ROUNDS, TOKMAN, WORK, Memory, count, settle
from .server import Server
from .stores import curl, environment, files, store

NEEDS = ["curl", "time", "strace", "aiohttp"]
LATENCY = 20
REFRESH_ALL = [TOKMAN, "refresh", "--all", "--jobs", "64", "--quiet"]


def run(found):
    keys = count(20_000)
    fewer = keys // 10
    rounds = []
    settle()
    with Server(LATENCY) as http, Server(LATENCY, tls=True) as https, Server(0) as http0, Server(0, tls=True) as https0:
        for at in range(ROUNDS):
            print(f"round {at + 1} of {ROUNDS}", flush=True)
            row = a_round(at, keys, fewer, {"http": http, "https": https})
            rounds.append(row | at_once(at, keys, fewer, {"http": http0, "https": https0}))
        calls = Program("", REFRESH_ALL, environment(store("few", 200, http.url), http.url)).calls()
    per_second = lambda name, of=keys: median(of / row[name].wall for row in rounds)
    shares(found, rounds, keys, fewer)
    found.note(f"64 bare connections, {LATENCY} ms", f"{per_second('posts'):,.0f} posts/s")
    found.note("create, fsync, rename over the old record, fsync, in a loop", f"{per_second('writes'):,.0f} files/s; "
               f"into an empty directory {per_second('empty', keys // 4):,.0f} files/s")
    for name, run in rounds[0].items():
        if isinstance(name, tuple):
            of = number(name, keys, fewer)
            figure = f"{per_second(name, of):,.0f} tokens/s, {median(row[name].cpu / of * 1000 for row in rounds):.2f} ms of CPU each"
            peak = f", {median(row[name].peak for row in rounds) / 1e6:.1f} MB" if run.peak else ""
            found.note(NAMES[name[0]].format(of=f"{of:,}") + ", " + ", ".join(name[1:]), figure + peak)
    if calls:
        found.note("system calls per token, 200 of them", f"{calls['total'] / 200:.0f}")


NAMES = {
    "tokman": "`refresh --all --jobs 64`, {of} keys",
    "xargs": "`xargs -P64 curl`, {of} of them",
    "aiohttp": "64 workers of asyncio and aiohttp, without fsync",
}
AT_ONCE = "answered at once"


def number(name, keys, fewer):
    """How many a run has: a tenth is enough for what starts anew for each, a quarter where nobody is waited for."""
    return fewer if name[0] == "xargs" else keys // 4 if AT_ONCE in name else keys


def a_round(at, keys, fewer, servers):
    """Everything once, by name: strings are what others are a share of, tuples are what is compared. Every run has a
    directory of its own, and none is removed before the end: ext4 passes over inodes that were deleted of late, and
    would have more to do for whoever comes after a removal."""
    http = servers["http"]
    row = {"posts": Run([PEER, "post", http.url, "64", str(keys)])}
    # It replaces as many records as the run does: a file system that has to free the old one has more to do.
    row["writes"] = Run([PEER, "write", files(store(f"write{at}", keys, http.url)), str(keys)])
    row["empty"] = Run([PEER, "write", WORK / f"empty{at}", str(keys // 4)])
    http.seen()
    for scheme, server in servers.items():
        for place, under in [("disk", WORK), ("memory", Memory.path)]:
            if under:
                config = store(f"{scheme}{at}", keys, server.url, under=under)
                row["tokman", scheme, place] = Run(REFRESH_ALL, environment(config, server.url, server.authority), peak=True)
                if (scheme, place) == ("http", "disk"):
                    row["seen"] = server.seen()
                if place == "memory":
                    shutil.rmtree(config)
        row["xargs", scheme] = xargs(server, fewer)
        if tools.python("aiohttp"):
            row["aiohttp", scheme] = aiohttp(server, WORK / f"{scheme}{at}")
    row["small"] = Run(REFRESH_ALL, environment(store(f"small{at}", fewer, http.url), http.url), peak=True)
    return row


def at_once(at, keys, fewer, servers):
    """The same without a provider that takes its time: the programs are the limit, and all of them write to memory."""
    row = {}
    for scheme, server in servers.items() if Memory.path else ():
        config = store(f"once{scheme}{at}", keys // 4, server.url, under=Memory.path)
        row["tokman", scheme, AT_ONCE] = Run(REFRESH_ALL, environment(config, server.url, server.authority), peak=True)
        row["xargs", scheme, AT_ONCE] = xargs(server, fewer)
        if tools.python("aiohttp"):
            row["aiohttp", scheme, AT_ONCE] = aiohttp(server, config)
        shutil.rmtree(config)
    return row


def aiohttp(server, config):
    argv = [tools.PYTHON, COMPARED / "refresh.py", files(config), server.url]
    return Run([*argv, *([server.authority] if server.authority else [])])


def xargs(server, number):
    """A curl for each, and so a connection and a handshake for each."""
    trusted = ["--cacert", str(server.authority)] if server.authority else []
    return Run(["sh", "-c", f"seq {number} | xargs -P64 -I@ {shlex.join(curl(server.url, *trusted))}"])


def shares(found, rounds, keys, fewer):
    """The figures that have bars."""
    rate = lambda row, name: number(name, keys, fewer) / row[name].wall
    for peer in ("xargs", "aiohttp"):
        for scheme in ("http", "https"):
            if (peer, scheme, AT_ONCE) in rounds[0]:
                found.figure(f"bulk.{peer}.{scheme}.once", median(
                    rate(row, ("tokman", scheme, AT_ONCE)) / rate(row, (peer, scheme, AT_ONCE)) for row in rounds))
    for place, ceiling in [("memory", "posts"), ("disk", "writes")]:
        if ("tokman", "http", place) not in rounds[0]:
            found.skip("the store in memory: there is no file system in memory")
            continue
        found.figure(f"bulk.{place}", median(row[ceiling].wall / row["tokman", "http", place].wall for row in rounds))
        found.figure(f"bulk.cpu.{place}", median(row["tokman", "http", place].cpu / keys * 1000 for row in rounds))
        for peer in ("xargs", "aiohttp"):
            for scheme in ("http", "https"):
                if (peer, scheme) in rounds[0]:
                    found.figure(f"bulk.{peer}.{scheme}.{place}", median(
                        rate(row, ("tokman", scheme, place)) / rate(row, (peer, scheme)) for row in rounds))
    disk = [(row["tokman", "http", "disk"], row["small"]) for row in rounds]
    if disk[0][0].peak:
        found.figure("bulk.peak", median(whole.peak for whole, _ in disk) / 1e6)
        found.figure("bulk.peak.growth", median(whole.peak / small.peak for whole, small in disk))
    found.figure("bulk.time.growth", median(whole.wall / small.wall for whole, small in disk))
    found.figure("bulk.connections", rounds[-1]["seen"][0])
    found.note("requests of a run", f"{rounds[-1]['seen'][1]:,}")
