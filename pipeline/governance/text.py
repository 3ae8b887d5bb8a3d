"""Text from strangers made safe to show: what is invisible, or turns the reading direction, is written as an escape."""

import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType

from pipeline.governance.errors import InvalidInput

LONGEST_LINE = 200
NO_LABELS: Mapping[str, str] = MappingProxyType({})  # of columns that have none
INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def visible(text: str, *, most: int = 0) -> str:
    """The text on one line, control and format characters escaped; `most` > 0 cuts it with an ellipsis."""
    shown = text
    if not text.isprintable():  # what is printable has none of them, and is what nearly all texts are
        shown = "".join(
            c.encode("unicode_escape", "surrogatepass").decode("ascii") if unicodedata.category(c) in INVISIBLE else c
            for c in text
        )
    return f"{shown[: most - 1]}…" if most and len(shown) > most else shown


def first_line(error: BaseException | str, *, most: int = LONGEST_LINE) -> str:
    """The first line of an error's text, safe to show and cut to `most` characters; without text the error's class."""
    line = str(error).strip().partition("\n")[0]
    return visible(line if line or isinstance(error, str) else type(error).__name__, most=most)


MINUS = "\N{MINUS SIGN}"
SMALLEST = 0.00005  # what is shown as 0.0001


def minus(figures: str) -> str:
    """Figures as Python writes them with a real minus sign, which is as wide as a plus and never breaks a line."""
    return figures.replace("-", MINUS)


def figure(value: float) -> str:
    """A metric: always four digits, so that columns and pages can be compared by eye; what rounds to 0 has no sign."""
    return minus(f"{value:.4f}") if abs(value) >= SMALLEST else f"{0:.4f}"


def signed(value: float) -> str:
    """A difference with its sign; one that rounds to zero has none."""
    return minus(f"{value:+.4f}") if abs(value) >= SMALLEST else f"{0:.4f}"


def column_label(column: str, description: str) -> str:
    """What people call a column, such as "Eats vegetables with meals" for FCVC: its description without the end mark.

    Empty where there is none, or where its first word is the column's name already.
    """
    text = description.rstrip("?. ")
    return "" if text.casefold().split()[:1] == [column.casefold()] else text


def called(column: str, labels: Mapping[str, str]) -> str:
    """What people call a column, its own name behind: "Eats vegetables with meals (FCVC)"."""
    label = labels.get(column)
    return f"{label} ({column})" if label else column


def parse_time(text: str, *, about: str = "at") -> datetime:
    """A time in ISO 8601 as UTC, which it is taken for without an offset. Raises InvalidInput."""
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:  # the first and the last day have no time in some other zone
        raise InvalidInput(f"{about}: {text!r} is not a time such as 2026-11-24T09:00Z") from error
