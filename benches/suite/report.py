"""What a section found: printed as it is found, then put between its marks in the documentation."""

import re
import time

from .bars import BARS
from .places import QUICK, ROOT

# What others may take of the cores and not be mentioned.
OTHERS = 0.05
DOCUMENTS = [ROOT / "docs/performance.md", ROOT / "docs/scale.md"]


class Findings:
    """Of one section."""

    def __init__(self, name, where, others):
        """`others` is the share of the cores that was not ours when it began."""
        self.name, self.where, self.others = name, where, others
        self.bars, self.notes, self.tables, self.skipped = [], [], [], []
        self.began = time.monotonic()
        print(f"== {name}", flush=True)
        if others > OTHERS:
            print(f"note: others take {others:.0%} of the cores: the figures are theirs, too", flush=True)

    def figure(self, name, value):
        """A figure that has a bar."""
        bar = BARS[name]
        row = (bar.what, bar.wanted(), bar.figure(value), bar.verdict(value))
        self.bars.append(row)
        self.say(f"{row[0]}: {row[2]}, {row[1]}: {row[3]}")

    def note(self, what, figure):
        """A figure that has none."""
        self.notes.append((what, figure))
        self.say(f"{what}: {figure}")

    def programs(self, compared, to):
        """What was compared, a row a program: its time, CPU, peak memory and system calls."""
        rows = []
        for program in compared.programs:
            wall, cpu = compared.ratios(program.name, to)
            peak, calls = program.peak(), program.calls()
            rows.append((f"`{program.name}`" if program.name[0].islower() else program.name,
                         f"{compared.wall(program.name) * 1000:.2f} ms", f"{wall:.2f}",
                         f"{compared.cpu(program.name) * 1000:.2f} ms", f"{cpu:.2f}",
                         f"{peak / 1e6:.1f} MB" if peak else "", f"{calls['total']:,}" if calls else ""))
        head = ("program", "wall clock", f"of `{to}`", "CPU", f"of `{to}`", "peak memory", "system calls")
        self.tables.append((head, rows))
        show([head, *rows])

    def skip(self, what):
        self.skipped.append(what)
        print(f"skipped: {what}", flush=True)

    def say(self, line):
        print("figure: " + line.replace("\\|", "|"), flush=True)

    def found(self):
        return bool(self.bars or self.notes or self.tables)

    def text(self):
        parts = []
        if self.bars:
            parts.append(table(("measure", "bar", "figure", ""), self.bars))
        parts += [table(head, rows) for head, rows in self.tables]
        if self.notes:
            parts.append(table(("", ""), self.notes))
        if self.skipped:
            parts.append(f"Skipped: {'; '.join(self.skipped)}.")
        others = f", while others took {self.others:.0%} of the cores" if self.others > OTHERS else ""
        parts.append(f"Measured on {time.strftime('%Y-%m-%d', time.gmtime())}, {self.where}, in {self.seconds:.0f} s{others}.")
        return "\n\n".join(parts)

    def end(self):
        self.seconds = time.monotonic() - self.began
        print(f"{self.name}: {self.seconds:.0f} s", flush=True)


def table(head, rows):
    line = lambda cells: "| " + " | ".join(cells) + " |" if any(cells) else "|" + " |" * len(cells)
    return "\n".join([line(head), "|" + "---|" * len(head), *map(line, rows)])


def show(rows):
    """Rows of cells, for the eye."""
    rows = [[cell.replace("\\|", "|").replace("`", "") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip(), flush=True)


def summary(findings):
    """All figures with bars, as a table for the eye."""
    rows = [(found.name, *row) for found in findings for row in found.bars]
    show(rows)
    missed = sum(row[4].startswith("missed") for row in rows)
    print(f"{len(rows)} figures with bars, {missed} of them missed")


def begin():
    """A trial writes into copies."""
    if QUICK:
        for document in DOCUMENTS:
            place(document).write_text(document.read_text())


def place(document):
    return ROOT / f"target/quick-{document.name}" if QUICK else document


def write(blocks):
    """Puts each block between its marks; what has no new block stays."""
    for document in map(place, DOCUMENTS):
        before = text = document.read_text()
        for name, block in blocks.items():
            mark = re.compile(rf"(<!-- figures: {name} -->\n).*?(<!-- end -->)", re.S)
            text = mark.sub(lambda match: f"{match[1]}\n{block}\n\n{match[2]}", text)
        if text != before:
            document.write_text(text)
            print(f"written: {document.relative_to(ROOT)}", flush=True)
