"""The charts of a card: plain data, which the dashboard draws in its own way and a file as SVG.

SVG is written by hand: three shapes need no library, and a file that loads nothing can show them anywhere.
"""

import html
from collections.abc import Iterator
from dataclasses import dataclass

WIDTH, GUTTER, MARGIN = 720, 270, 56  # of all charts, of the names on the left, of the figures on the right
LINE, CELL = 24, 44  # the height of a row, the side of a cell of a matrix
LONGEST_LABEL, LONGEST_HEAD = 36, 20
STRONG = 0.55  # a cell that is darker than this has light figures


@dataclass(frozen=True)
class IntervalChart:
    """Values between 0 and 1 with their intervals."""

    # Name, value, low and high end of each.
    rows: tuple[tuple[str, float, float, float], ...]


@dataclass(frozen=True)
class MatrixChart:
    """A confusion matrix."""

    classes: tuple[str, ...]
    # Counts by [true][predicted].
    counts: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class BarChart:
    """The mean absolute effects of columns."""

    # Name and amount of each, the largest first.
    rows: tuple[tuple[str, float], ...]
    # What they are measured in.
    unit: str


Chart = IntervalChart | MatrixChart | BarChart


def to_svg(chart: Chart) -> str:
    """One element that is as wide as its place; no text of the registry is read as markup."""
    if isinstance(chart, IntervalChart):
        return _svg("Metrics with their intervals", LINE * (len(chart.rows) + 1), _intervals(chart))
    if isinstance(chart, BarChart):
        return _svg(f"Mean absolute effect ({chart.unit})", LINE * len(chart.rows), _bars(chart))
    return _svg("Confusion matrix: true by predicted class", CELL * len(chart.classes) + 130, _matrix(chart))


def _svg(title: str, height: float, shapes: Iterator[str]) -> str:
    head = f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img"><title>{html.escape(title)}</title>'
    return head + "".join(shapes) + "</svg>"


def _intervals(chart: IntervalChart) -> Iterator[str]:
    low, high = min(row[2] for row in chart.rows), max(row[3] for row in chart.rows)
    margin = max(0.01, (high - low) * 0.1)
    low, high = max(0.0, low - margin), min(1.0, high + margin)

    def place(value: float) -> float:
        return GUTTER + (WIDTH - GUTTER - MARGIN) * (value - low) / (high - low or 1)

    for number, (name, value, start, end) in enumerate(chart.rows):
        y = LINE * (number + 0.5)
        yield _name(name, y)
        yield f'<line class="mark" x1="{place(start):.1f}" x2="{place(end):.1f}" y1="{y:g}" y2="{y:g}"/>'
        yield f'<circle class="mark" cx="{place(value):.1f}" cy="{y:g}" r="4"/>'
        yield _text(f"{value:.4f}", WIDTH, y + 4, kind="end")
    bottom = LINE * len(chart.rows)
    for end in (low, high):
        yield _text(f"{end:.2f}", place(end), bottom + 15, kind="middle")


def _bars(chart: BarChart) -> Iterator[str]:
    most = max(amount for _, amount in chart.rows) or 1
    for number, (name, amount) in enumerate(chart.rows):
        y, width = LINE * number, (WIDTH - GUTTER - MARGIN - 14) * amount / most
        yield _name(name, y + LINE / 2)
        yield f'<rect class="mark" x="{GUTTER}" y="{y + 4}" width="{width:.1f}" height="{LINE - 8}"/>'
        yield _text(f"{amount:.4f}", WIDTH, y + LINE / 2 + 4, kind="end")


def _matrix(chart: MatrixChart) -> Iterator[str]:
    cell = min(CELL * 1.4, (WIDTH - GUTTER) / max(1, len(chart.classes)))
    for row, (name, counts) in enumerate(zip(chart.classes, chart.counts, strict=True)):
        y, total = CELL * row, sum(counts) or 1
        yield _name(name, y + CELL / 2)
        for column, count in enumerate(counts):
            x, share = GUTTER + cell * column, count / total
            yield (
                f'<rect class="mark cell" x="{x:.1f}" y="{y}" width="{cell - 1:.1f}" height="{CELL - 1}" '
                f'fill-opacity="{share:.3f}"/>'
            )
            strong = "middle strong" if share > STRONG else "middle"
            yield _text(f"{count:,.0f}", x + cell / 2, y + CELL / 2 + 4, kind=strong)
    bottom = CELL * len(chart.classes) + 16
    for column, name in enumerate(chart.classes):
        x = GUTTER + cell * (column + 0.5)
        shown = html.escape(short(name, LONGEST_HEAD))
        yield f'<text class="end" x="{x:.1f}" y="{bottom}" transform="rotate(-35 {x:.1f} {bottom})">{shown}</text>'


def _name(name: str, y: float) -> str:
    return _text(short(name, LONGEST_LABEL), GUTTER - 10, y + 4, kind="end")


def _text(text: str, x: float, y: float, *, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:g}">{html.escape(text)}</text>'


def short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
