"""The machine that the figures are of, and the versions of what they are compared with."""

import os
import platform
import re
import shutil
import subprocess
import time
from pathlib import Path

from . import cluster, tools
from .places import TOKMAN, WORK, Memory


def processor():
    """Its name, and how many cores of it are ours."""
    cpu = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = re.search(r"model name\s*: (.*)", cpu)
    virtual = ", in a virtual machine" if re.search(r"^flags.*\bhypervisor\b", cpu, re.M) else ""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{model[1].strip() if model else platform.machine()}, {cores} cores{virtual}"


def lines():
    """What is measured on, and what: rows of two cells."""
    yield "processor", processor()
    yield "memory", f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB"
    # Its number only: the rest is the builder's.
    kernel = re.match(r"[\d.]+\d", platform.release())
    yield "system", f"{platform.system()} {kernel[0] if kernel else platform.release()}, {libc()}"
    stores = f"{file_system(WORK)} on the disk" + (f", {file_system(Memory.path)} in memory" if Memory.path else "")
    yield "file systems of the stores", stores
    yield "tokman", f"{said(TOKMAN, '--version')}, built by {said('rustc', '--version', words=2)}"
    yield "compared with", "; ".join(versions())


def busy(seconds=1):
    """The share of all cores that others take just now; 0 where the system does not tell."""
    def look():
        try:
            fields = [int(field) for field in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
        except OSError:
            return 0, 1
        return sum(fields) - fields[3] - fields[4], sum(fields)
    before = look()
    time.sleep(seconds)
    after = look()
    return (after[0] - before[0]) / max(after[1] - before[1], 1)


def libc():
    try:
        return os.confstr("CS_GNU_LIBC_VERSION")
    except (ValueError, OSError):
        return "another C library than glibc"


def file_system(path):
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    under = [mount for mount in mounts if os.path.commonpath([mount[1], path]) == mount[1]]
    return max(under, key=lambda mount: len(mount[1]))[2]


def said(*argv, words=None):
    """The first line of what a program says of itself, as far as its version."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True)
    except OSError:
        return None
    line = (done.stdout + done.stderr).strip().splitlines()
    return " ".join(line[0].split()[:words]) if done.returncode == 0 and line else None


def versions():
    """Of what is there."""
    postgres = cluster.binaries()
    for name, argv in {
        "coreutils": ["cat", "--version"], "curl": ["curl", "--version"], "jq": ["jq", "--version"],
        "ortie": [tools.find("ortie"), "--version"], "gh": ["gh", "--version"], "oidc-agent": ["oidc-agent", "--version"],
        "PostgreSQL": [postgres / "psql" if postgres else None, "--version"], "hyperfine": ["hyperfine", "--version"],
        "valgrind": ["valgrind", "--version"], "strace": ["strace", "--version"],
    }.items():
        if argv[0] and shutil.which(argv[0]):
            version = re.search(r"\d[\d.]*", said(*argv) or "")
            if version:
                yield f"{name} {version[0]}"
    if tools.PYTHON.exists():
        yield said(tools.PYTHON, "--version")
        code = ("import importlib.metadata as m\nfor n in ('squareup', 'aiohttp'):\n try: print(n, m.version(n), end='; ')\n"
                " except m.PackageNotFoundError: pass")
        packages = said(tools.PYTHON, "-c", code)
        if packages:
            yield packages.strip("; ")
