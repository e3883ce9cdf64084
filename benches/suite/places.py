"""Where things are, and how much is measured: the one place that reads the benches' environment."""

import os
import shutil
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TOKMAN = ROOT / "target/release/tokman"
PEER = ROOT / "target/release/examples/peer"
COMPARED = ROOT / "benches/compared"
# What is installed for the benches alone.
TOOLS = ROOT / "target/bench-tools"
# On the disk that the project is on: a file system in memory would have nothing to fsync.
WORK = ROOT / "target/bench"

QUICK = os.environ.get("BENCH_QUICK") == "1"
# Whole runs of what takes seconds, and batches of what takes milliseconds.
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "1" if QUICK else "3"))
BATCHES = 3 if QUICK else 10
INSTALL = os.environ.get("BENCH_INSTALL") != "0"
STATIC = os.environ.get("BENCH_STATIC")
MINIMAL = os.environ.get("BENCH_MINIMAL") == "1"


def count(whole):
    """So many, or a tenth where this is a trial of the suite."""
    return whole // 10 if QUICK else whole


def private(path):
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


# Held by a run, and touched when one has removed its files.
LOCK = ROOT / "target/bench.lock"
# How long ext4 passes over an inode that was deleted, at most: whoever makes many files meanwhile waits for it.
SETTLING = 300


def settle():
    """Waits for what an earlier run's removal costs the file system; a trial does not."""
    left = LOCK.stat().st_mtime + SETTLING - time.time()
    if left > 0 and not QUICK:
        print(f"waiting {left:.0f} s: the files of an earlier run were removed just now", flush=True)
        time.sleep(left)


class Memory:
    """A directory in memory; absent where the system has none for all."""

    path = None

    def __enter__(self):
        if os.path.isdir("/dev/shm") and os.access("/dev/shm", os.W_OK):
            Memory.path = Path(tempfile.mkdtemp(prefix="tokman-bench-", dir="/dev/shm"))
        return self

    def __exit__(self, *_):
        if Memory.path:
            shutil.rmtree(Memory.path, ignore_errors=True)
