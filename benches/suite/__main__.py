"""benches/run [SECTION…]: all sections, or those that are named.

  start      a stored token, beside cat and what else prints one       1 min
  exchange   one refresh over TLS, beside curl and Square's SDK        1 min
  bulk       20,000 keys, beside bare loops, curl and aiohttp          8 min
  many       a store of 100,000 keys                                   1 min
  postgres   one token among 200,000 rows, two machines at once        2 min
  scale      what a refresh costs a database                           2 min
  size       the binary and its crates                                 seconds

The times are those of two idle cores. The first run also builds, and installs what is missing and can be had: with
apt-get where it is root, the rest below target/bench-tools (ortie is compiled: some minutes). What is still missing is
skipped by name. `bulk` waits until the file system has got over the files that an earlier run removed: 5 min at most.

  BENCH_QUICK=1     a tenth of the counts, one round: tries the suite; the documents are copied to target/quick-*.md
  BENCH_ROUNDS=N    rounds of what takes seconds (3)
  BENCH_INSTALL=0   nothing is installed
  BENCH_STATIC=PATH a static binary to measure as well; else one is built where rustup has the musl target
  BENCH_MINIMAL=1   builds without default features, too, for its size
"""

import fcntl
import os
import shutil
import signal
import sys
import traceback

from . import bulk, exchange, machine, many, postgres, report, scale, size, start, tools
from .places import LOCK, WORK, Memory, private

SECTIONS = {"start": start, "exchange": exchange, "bulk": bulk, "many": many, "postgres": postgres, "scale": scale, "size": size}
# Without these nothing of a section can be measured.
VITAL = {"hyperfine", "curl"}


def measured(name, section):
    """What a section found."""
    missing = tools.provide(section.NEEDS)
    found = report.Findings(name, machine.processor(), machine.busy())
    for need in missing:
        found.skip(f"{need} is not installed")
    if VITAL.intersection(missing):
        found.skip(name)
    else:
        try:
            section.run(found)
        except Exception:
            traceback.print_exc()
            found.bars = found.notes = found.tables = []
            found.skip(f"{name}: it failed")
    found.end()
    return found


def main(names):
    unknown = [name for name in names if name not in SECTIONS]
    if unknown:
        asked = unknown[0] in ("-h", "--help")
        print(__doc__, file=sys.stdout if asked else sys.stderr)
        sys.exit(0 if asked else 2)
    # Whatever ends this run, what it made is removed.
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda number, _: sys.exit(128 + number))
    # Two runs at once would measure each other.
    is_first = not LOCK.exists()
    alone = open(LOCK, "a")
    if is_first:
        os.utime(LOCK, (0, 0))
    try:
        fcntl.flock(alone, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        sys.exit("another run of the benches is under way")
    if WORK.exists():
        # Of a run that was killed.
        clear()
    private(WORK)
    report.begin()
    try:
        with Memory():
            findings = []
            for name in names or SECTIONS:
                found = measured(name, SECTIONS[name])
                findings.append(found)
                # At once: a run that is broken off has not been for nothing.
                if found.found():
                    report.write({"machine": report.table(("", ""), list(machine.lines())), name: found.text()})
        report.summary(findings)
    finally:
        clear()


def clear():
    files = sum(len(names) for _, _, names in os.walk(WORK))
    shutil.rmtree(WORK, ignore_errors=True)
    if files > 5_000:
        os.utime(LOCK)


main(sys.argv[1:])
