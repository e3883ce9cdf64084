"""What is built: its size, and how many crates are in it."""

import json
import os
import re
import subprocess

from .places import MINIMAL, ROOT, TOKMAN

NEEDS = []


def cargo(*words, env=None):
    return subprocess.run(["cargo", *words], cwd=ROOT, check=True, capture_output=True, text=True, env=env).stdout


def run(found):
    found.figure("size.binary", TOKMAN.stat().st_size / 1e6)
    tree = lambda *words: cargo("tree", "--locked", "--prefix", "none", "-e", "normal", *words)
    crates = lambda *words: len({line for line in tree("--no-dedupe", *words).splitlines() if line})
    found.figure("size.crates", crates())
    twice = sorted(set(re.findall(r"^(\S+) v\S+", tree("--depth", "0", "-d"), re.M)))
    found.figure("size.twice", len(twice))
    found.note("in two versions", ", ".join(twice) or "none")
    found.note("crates of the minimal build", str(crates("--no-default-features")))
    if MINIMAL:
        cargo("build", "--release", "--locked", "--bin", "tokman", "--no-default-features", "--target-dir", "target/minimal")
        found.note("the minimal build", f"{(ROOT / 'target/minimal/release/tokman').stat().st_size / 1e6:.1f} MB")
    else:
        found.skip("the size of the minimal build: set BENCH_MINIMAL=1 to build it")
    if subprocess.run(["cargo", "bloat", "--version"], capture_output=True).returncode:
        found.skip("the largest crates: there is no cargo bloat")
        return
    # It needs the names that a release build strips.
    env = os.environ | {"CARGO_PROFILE_RELEASE_STRIP": "false", "CARGO_TARGET_DIR": str(ROOT / "target/bloat")}
    largest = json.loads(cargo("bloat", "--release", "--crates", "-n", "10", "--message-format", "json", env=env))
    for crate in largest["crates"]:
        found.note(f"code of `{crate['name']}`", f"{crate['size'] / 1e3:,.0f} kB")
