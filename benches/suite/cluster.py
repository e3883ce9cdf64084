"""A PostgreSQL server of our own, and machines whose tokens are in it."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from .measure import Run
from .places import TOKMAN, WORK, private
from .stores import environment, record


def binaries():
    """Where its programs are; nothing where it is not installed."""
    found = sorted(path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1] if found else None


# PostgreSQL refuses to run as root.
ROOT_USER = os.geteuid() == 0


class Cluster:
    """With its defaults: what it says is committed is on the disk."""

    def __enter__(self):
        self.bin = binaries()
        self.dir = Path(tempfile.mkdtemp(prefix="tokman-bench-"))
        try:
            self.start()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_):
        self.end()

    def start(self):
        if ROOT_USER:
            shutil.chown(self.dir, "postgres", "postgres")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.user("initdb", "-D", "data", "-A", "trust", "-E", "UTF8", "-U", "postgres", "--no-sync")
        options = f"-p {self.port} -k {self.dir} -c listen_addresses=127.0.0.1"
        self.user("pg_ctl", "-D", "data", "-l", "log", "-w", "-o", options, "start")
        self.url = f"postgres://postgres@127.0.0.1:{self.port}/postgres?sslmode=disable"

    def end(self):
        self.user("pg_ctl", "-D", "data", "-m", "immediate", "stop", check=False)
        shutil.rmtree(self.dir, ignore_errors=True)

    def user(self, program, *words, check=True):
        argv = ["runuser", "-u", "postgres", "--"] if ROOT_USER else []
        subprocess.run([*argv, self.bin / program, *words], cwd=self.dir, check=check, stdout=subprocess.DEVNULL)

    def query(self, command):
        return [self.bin / "psql", "-XAtq", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-c", command]

    def psql(self, command):
        return subprocess.run(self.query(command), check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    def machine(self, name, url):
        """The environment of a machine whose tokens are in this database."""
        key = WORK / "store.key"
        if not key.exists():
            handle = os.open(key, os.O_CREAT | os.O_WRONLY, 0o600)
            os.write(handle, subprocess.run([TOKMAN, "key", "new"], check=True, capture_output=True).stdout)
            os.close(handle)
        shutil.rmtree(WORK / name, ignore_errors=True)
        environ = environment(private(WORK / name), url)
        return environ | {"TOKMAN_STORE": self.url, "TOKMAN_STORE_KEY_FILE": str(key)}


def imported(environ, records, *options):
    """Stores these records, each of them whole; how long that took."""
    lines = WORK / "lines"
    with open(lines, "w") as out:
        for one in records:
            out.write(json.dumps(one) + "\n")
    with open(lines) as stdin:
        return Run([TOKMAN, "import", "--quiet", *options], environ, stdin)


def fill(environ, keys, url, fresh=False):
    """Stores so many tokens in place of what is there."""
    return imported(environ, (record(f"m{number:0>7}", url, number, fresh) for number in range(keys)), "--replace")
