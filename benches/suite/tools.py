"""What the benches need of others: found, or installed where the machine allows it, or else skipped by name."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from .places import INSTALL, ROOT, STATIC, TOOLS

PYTHON = TOOLS / "python/bin/python"
MUSL = "x86_64-unknown-linux-musl"
# By the name of the program: the package of Debian's that has it.
DEBIAN = {"curl": "curl", "jq": "jq", "gh": "gh", "oidc-token": "oidc-agent-cli", "time": "time", "hyperfine": "hyperfine",
          "strace": "strace", "valgrind": "valgrind"}
# By the name of the package of Python's: what is imported.
PYPI = {"squareup": "square", "aiohttp": "aiohttp"}


def find(program):
    """Its path; nothing where it is not there."""
    own = TOOLS / "bin" / program
    return str(own) if own.exists() else shutil.which(program)


def python(module):
    """Whether our own Python has it."""
    return PYTHON.exists() and subprocess.run([PYTHON, "-c", f"import {module}"], capture_output=True).returncode == 0


def missing(need):
    return not (python(PYPI[need]) if need in PYPI else find(need))


def provide(needs):
    """Installs what is missing; returns what is missing still."""
    lacking = [need for need in needs if missing(need)]
    if lacking and INSTALL:
        packages = [DEBIAN[need] for need in lacking if need in DEBIAN]
        if packages and os.geteuid() == 0 and shutil.which("apt-get"):
            environ = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
            run(["apt-get", "update", "-qq"], environ)
            for package in packages:
                run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", package], environ)
        if "ortie" in lacking:
            run(["cargo", "install", "ortie", "--locked", "--root", TOOLS])
        modules = [need for need in lacking if need in PYPI]
        if modules:
            if not PYTHON.exists():
                run([sys.executable, "-m", "venv", TOOLS / "python"])
            if PYTHON.exists():
                run([PYTHON, "-m", "pip", "install", "-q", "--disable-pip-version-check", *modules])
    return [need for need in lacking if missing(need)]


def run(argv, environ=None):
    print("$", *argv, flush=True)
    if subprocess.run(argv, env=environ, cwd=ROOT, stdout=subprocess.DEVNULL).returncode:
        print("failed:", *argv, flush=True)


def static(found):
    """The static binary; nothing, and said so, where it is not named and cannot be built."""
    if STATIC:
        return Path(STATIC).resolve()
    targets = subprocess.run(["rustup", "target", "list", "--installed"], capture_output=True, text=True).stdout \
        if shutil.which("rustup") else ""
    if MUSL not in targets.split():
        found.skip(f"the static build: the target {MUSL} is not installed, and BENCH_STATIC names none")
        return None
    run(["cargo", "build", "--release", "--locked", "--target-dir", "target", "--bin", "tokman", "--target", MUSL])
    built = ROOT / "target" / MUSL / "release/tokman"
    if not built.exists():
        found.skip(f"the static build: it cannot be built here for {MUSL}")
        return None
    return built
