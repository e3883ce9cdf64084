"""The token endpoint that is posted to."""

import subprocess

from .places import PEER, WORK


class Server:
    """It answers after so many milliseconds; with `tls` under an authority of its own, whose certificate is in a file."""

    def __init__(self, milliseconds, tls=False):
        self.authority = WORK / f"authority-{milliseconds}.pem" if tls else None
        argv = [PEER, "serve", str(milliseconds), *([self.authority] if tls else [])]
        self.child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
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
