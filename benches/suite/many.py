"""A store of many keys: one of them, and all of them."""

from .measure import Comparison, Program, Run, median
from .places import ROUNDS, TOKMAN, count
from .stores import ONE, environment, files, store

NEEDS = ["hyperfine", "time"]


def run(found):
    keys = count(100_000)
    url = "https://connect.squareup.com"
    one, config = store("one", 1, url, fresh=True), store("many", keys, url, fresh=True)
    small = store("fewer", keys // 10, url, fresh=True)
    token = lambda name, config: Program(name, [TOKMAN, "token", *ONE], environment(config, url))
    compared = Comparison([token("one", one), token("many", config)])
    wall, cpu = compared.ratios("many", "one")
    found.note(f"`token` among {keys:,} keys", f"{compared.wall('many') * 1000:.2f} ms, "
               f"{wall:.2f} x that of a store of one; CPU {cpu:.2f} x")
    rows = []
    for _ in range(ROUNDS):
        status = Run([TOKMAN, "status", "-o", "json"], environment(config, url), peak=True)
        fewer = Run([TOKMAN, "status", "-o", "json"], environment(small, url), peak=True)
        cat = Run(["sh", "-c", f"find {files(config)} -name '*.json' -print0 | xargs -0 cat"])
        rows.append((status, fewer, cat))
    found.figure("many.cpu", median(row[0].cpu / row[2].cpu for row in rows))
    if rows[0][0].peak:
        found.figure("many.peak", median(row[0].peak for row in rows) / 1e6)
        found.note(f"peak memory of a tenth of the keys", f"{median(row[1].peak for row in rows) / 1e6:.1f} MB")
    wall = [median(row[at].wall for row in rows) for at in (0, 2)]
    found.note(f"`status -o json` of {keys:,} keys", f"{wall[0]:.2f} s, {median(row[0].cpu for row in rows):.2f} s of CPU; "
               f"`find \\| xargs cat` {wall[1]:.2f} s, {median(row[2].cpu for row in rows):.2f} s of CPU")
