"""Programs, measured: whole runs, batches of short ones by hyperfine, instructions, system calls, peak memory. Each
figure is a median of interleaved rounds, and what it is a share of ran in the same round."""

import json
import os
import shlex
import shutil
import statistics
import subprocess
import time
from pathlib import Path

from .places import BATCHES, WORK

GNU_TIME = Path("/usr/bin/time")
median = statistics.median


class Failed(Exception):
    """A program that did not do what it is measured at."""


class Run:
    """A program run to its end: seconds on the wall and of CPU; with `peak` its peak memory in bytes, where GNU time is
    there to tell: what the system says of a child of ours counts this interpreter, too."""

    def __init__(self, argv, env=None, stdin=subprocess.DEVNULL, expect=0, peak=False):
        said_peak = WORK / "peak"
        peak = peak and GNU_TIME.exists()
        argv = [GNU_TIME, "-q", "-f", "%M", "-o", said_peak, *argv] if peak else argv
        began = time.monotonic()
        child = subprocess.Popen(argv, env=env, stdin=stdin, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        said = child.stderr.read().decode(errors="replace")
        _, status, usage = os.wait4(child.pid, 0)
        self.wall = time.monotonic() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != expect:
            raise Failed(f"{argv[0]} {argv[1]}: {child.returncode}\n{said[:1000]}")
        self.cpu = usage.ru_utime + usage.ru_stime
        self.peak = int(said_peak.read_text()) * 1024 if peak else None


class Program:
    """What is compared: a name, a command line, its environment, and how often a batch runs it."""

    def __init__(self, name, argv, env, runs=60):
        self.name, self.argv, self.env = name, [str(word) for word in argv], env
        self.runs = max(runs // 3, 3) if BATCHES < 10 else runs

    def batch(self):
        """Seconds on the wall, the median of a batch, and of CPU, its mean: hyperfine tells no more."""
        said = WORK / "hyperfine.json"
        argv = ["hyperfine", "-N", "--style", "none", "--warmup", "2", "--runs", str(self.runs), "--export-json", said]
        done = subprocess.run([*argv, shlex.join(self.argv)], env=self.env, capture_output=True, text=True)
        if done.returncode:
            raise Failed(f"{self.name}: {done.stderr}")
        result = json.loads(said.read_text())["results"][0]
        return result["median"], result["user"] + result["system"]

    def peak(self):
        """Bytes, the median of a few runs: what a system maps beforehand differs. Nothing where there is no GNU time."""
        peaks = [Run(self.argv, self.env, peak=True).peak for _ in range(5)]
        return None if None in peaks else median(peaks)

    def calls(self):
        """System calls by name and in `total`, threads and children included; nothing where there is no strace."""
        if not shutil.which("strace"):
            return None
        argv = ["strace", "-f", "-c", "-o", WORK / "strace", *self.argv]
        subprocess.run(argv, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        lines = (line.split() for line in (WORK / "strace").read_text().splitlines())
        return {fields[-1]: int(fields[3]) for fields in lines if len(fields) >= 5 and fields[3].isdigit()}

    def instructions(self):
        """Its loading included; nothing where there is no valgrind."""
        if not shutil.which("valgrind"):
            return None
        argv = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={WORK / 'callgrind'}", *self.argv]
        said = subprocess.run(argv, env=self.env, capture_output=True, text=True).stderr
        return int(said.split("Collected :")[1].split()[0])


class Comparison:
    """Programs, a batch of each in every round."""

    def __init__(self, programs, batches=BATCHES):
        self.programs = programs
        self.rounds = [{program.name: program.batch() for program in programs} for _ in range(batches)]

    def wall(self, name):
        return median(batch[name][0] for batch in self.rounds)

    def cpu(self, name):
        return median(batch[name][1] for batch in self.rounds)

    def ratios(self, name, to):
        """By the wall clock and by the CPU."""
        return tuple(median(batch[name][at] / batch[to][at] for batch in self.rounds) for at in (0, 1))
