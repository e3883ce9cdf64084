"""One refresh over TLS: against curl doing the post alone, against the official SDK, and what the disk adds."""

import subprocess

from . import tools
from .measure import Comparison, Program, median
from .places import BATCHES, COMPARED, PEER, TOKMAN, WORK, Memory, count
from .server import Server
from .stores import ONE, curl, environment, store

NEEDS = ["hyperfine", "strace", "time", "curl", "squareup"]
# Where systems keep what they trust in one file.
BUNDLES = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"]


def run(found):
    if not Memory.path:
        found.skip("exchange: there is no file system in memory")
        return
    with Server(0, tls=True) as server:
        places = {name: store("exchange", 1, server.url, under=under) for name, under in [("memory", Memory.path), ("disk", WORK)]}
        bundle = with_roots(server.authority)
        refresh = [TOKMAN, "refresh", *ONE, "--force", "-o", "none"]
        tokman = lambda name, place, trusted: Program(name, refresh, environment(places[place], server.url, trusted), runs=30)
        bare = environment(places["memory"], server.url)
        posting = lambda name, trusted: Program(name, curl(server.url, "--tlsv1.3", "--cacert", trusted), bare, runs=30)
        programs = [
            posting("curl", server.authority), tokman("tokman refresh, in memory", "memory", server.authority),
            tokman("tokman refresh, on the disk", "disk", server.authority),
        ]
        if bundle:
            programs += [posting("curl, all roots", bundle), tokman("tokman refresh, in memory, all roots", "memory", bundle)]
        if tools.python("square"):
            sdk = [tools.PYTHON, COMPARED / "sdk.py", server.url, server.authority]
            programs.append(Program("Square's SDK for Python", sdk, bare, runs=3))
        compared = Waiting(programs)
        found.programs(compared, "curl")
        pairs = [("exchange.ca", "tokman refresh, in memory", "curl")]
        if bundle:
            pairs.append(("exchange.roots", "tokman refresh, in memory, all roots", "curl, all roots"))
        if tools.python("square"):
            pairs.append(("exchange.sdk", "tokman refresh, in memory", "Square's SDK for Python"))
        for figure, name, to in pairs:
            wall, cpu = compared.ratios(name, to)
            found.figure(f"{figure}.wall", wall)
            found.figure(f"{figure}.cpu", cpu)
        found.figure("exchange.durability", median(compared.shares()))
        found.note("a bare fsync of a new small file", f"{median(compared.fsyncs) * 1000:.2f} ms; the disk adds "
                   f"{(compared.wall(programs[2].name) - compared.wall(programs[1].name)) * 1000:.2f} ms to a refresh")


class Waiting(Comparison):
    """A comparison that also tells, in every round, what the disk takes for one file."""

    def __init__(self, programs):
        self.programs, self.rounds, self.fsyncs = programs, [], []
        for at in range(BATCHES):
            self.rounds.append({program.name: program.batch() for program in programs})
            argv = [PEER, "fsync", WORK / f"fsync{at}", str(count(200))]
            self.fsyncs.append(int(subprocess.run(argv, check=True, capture_output=True, text=True).stdout) / 1e6)

    def shares(self):
        """What a refresh waits for the disk, in times of four bare fsyncs."""
        memory, disk = self.programs[1].name, self.programs[2].name
        return [(batch[disk][0] - batch[memory][0]) / (4 * fsync) for batch, fsync in zip(self.rounds, self.fsyncs)]


def with_roots(authority):
    """A file with the system's roots and this authority; nothing where the system has no such file."""
    for bundle in BUNDLES:
        try:
            roots = open(bundle).read()
        except OSError:
            continue
        path = WORK / "bundle.pem"
        path.write_text(roots + authority.read_text())
        return path
    return None
