"""The bars: what each figure is held against. The one list of them; nothing is asserted."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Bar:
    """What is wanted of a figure, and what would be better still; `unit` is "x", "ms", "MB" or none."""

    what: str
    bar: float
    stretch: float = None
    unit: str = "x"
    at_least: bool = False
    digits: int = 2

    def text(self, value, digits=None):
        if self.unit == "":
            return f"{value:,.0f}"
        return f"{value:.{self.digits if digits is None else digits}f} {self.unit}"

    def wanted(self):
        bound = f"{'≥' if self.at_least else '≤'} {self.text(self.bar)}"
        return bound if self.stretch in (None, self.bar) else f"{bound} (better: {self.text(self.stretch)})"

    def reaches(self, value, bound):
        value = round(value, 4)
        return value >= bound if self.at_least else value <= bound

    def figure(self, value):
        # A near miss is not to look like a hit.
        near = not self.reaches(value, self.bar) and self.text(value) == self.text(self.bar)
        return self.text(value, self.digits + 2 if near else None)

    def verdict(self, value):
        if self.reaches(value, self.bar):
            return "met, and better" if self.stretch is not None and self.reaches(value, self.stretch) else "met"
        by = self.figure(abs(value - self.bar))
        return f"missed by {by} ({abs(value / self.bar - 1):.0%})" if self.bar else f"missed by {by}"


def _twice(name, what, bar, stretch, **more):
    """A bar for the wall clock and the same for the CPU."""
    return {
        f"{name}.wall": Bar(f"{what}: wall clock", bar, stretch, **more),
        f"{name}.cpu": Bar(f"{what}: CPU", bar, stretch, **more),
    }


def _against(peer, what, bar, stretch):
    """Rates of a whole store, by http and https, in memory and on the disk."""
    where = {"once": "in memory, answered at once", "memory": "in memory, 20 ms", "disk": "on the disk, 20 ms"}
    return {
        f"bulk.{peer}.{scheme}.{place}": Bar(f"{what}, {scheme}, the store {words}", bar, stretch, at_least=True, digits=1)
        for scheme in ("http", "https") for place, words in where.items()
    }


BARS = {
    **_twice("start.glibc", "a stored token against `cat` of its file", 1.8, 1.5),
    **_twice("start.static", "the same, the static build", 1.4, 1.1),
    **_twice("start.ortie", "a stored token against `ortie token show`", 0.5, 0.4),
    "start.instructions": Bar("instructions of a stored token", 1_200_000, 600_000, ""),
    "start.among": Bar("its instructions among 10,000 others", 1.02, 1.0005, digits=3),
    "start.calls": Bar("system calls of a stored token", 120, 80, ""),
    "start.sockets": Bar("sockets", 0, None, ""),
    "start.threads": Bar("threads started", 0, None, ""),
    "start.peak": Bar("peak memory", 5, None, "MB", digits=1),
    **_twice("exchange.ca", "a refresh over TLS against `curl --cacert`", 0.4, 0.3),
    **_twice("exchange.roots", "the same, all of the system's roots to load", 0.3, 0.25),
    **_twice("exchange.sdk", "against Square's SDK for Python", 0.03, 0.02, digits=3),
    "exchange.durability": Bar("what the disk adds to a refresh, against four bare fsyncs", 1.5),
    "bulk.memory": Bar("`refresh --all` in memory against 64 bare connections", 0.8, 0.9, at_least=True),
    "bulk.disk": Bar("`refresh --all` on the disk against a bare loop of durable writes", 0.8, 1.0, at_least=True),
    "bulk.cpu.memory": Bar("CPU per token, the store in memory", 0.45, 0.3, "ms"),
    "bulk.cpu.disk": Bar("CPU per token, the store on the disk", 0.45, 0.3, "ms"),
    **_against("xargs", "as fast as `xargs -P64 curl`", 10, 20),
    **_against("aiohttp", "as fast as 64 workers of asyncio and aiohttp", 2, 3),
    "bulk.peak": Bar("peak memory", 16, None, "MB", digits=1),
    "bulk.peak.growth": Bar("peak memory against that of a tenth of the keys", 1.2),
    "bulk.time.growth": Bar("time against that of a tenth of the keys", 11, digits=1),
    "bulk.connections": Bar("connections of a run", 64, None, ""),
    "many.cpu": Bar("`status -o json` against `find \\| xargs cat`: CPU", 1.5, 0.8),
    "many.peak": Bar("its peak memory", 16, None, "MB", digits=1),
    "postgres.token": Bar("a stored token against `psql -c` of the same row: wall clock", 1.0, 0.6),
    "size.binary": Bar("the binary", 8, 6, "MB", digits=1),
    "size.crates": Bar("crates linked in", 230, None, ""),
    "size.twice": Bar("crates in two versions", 6, None, ""),
}
