"""Text from strangers made safe to show: what is invisible, or turns the reading direction, is written as an escape."""

import unicodedata

LONGEST_LINE = 200
INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def visible(text: str, *, most: int = 0) -> str:
    """The text on one line, control and format characters escaped; `most` > 0 cuts it with an ellipsis."""
    shown = "".join(
        c.encode("unicode_escape", "surrogatepass").decode("ascii") if unicodedata.category(c) in INVISIBLE else c
        for c in text
    )
    return f"{shown[: most - 1]}…" if most and len(shown) > most else shown


def first_line(error: BaseException | str, *, most: int = LONGEST_LINE) -> str:
    """The first line of an error's text, safe to show and cut to `most` characters; without text the error's class."""
    line = str(error).strip().partition("\n")[0]
    return visible(line if line or isinstance(error, str) else type(error).__name__, most=most)


def column_label(column: str, description: str) -> str:
    """What people call a column, such as "Eats vegetables with meals" for FCVC: its description without the end mark.

    Empty where there is none, or where its first word is the column's name already.
    """
    text = description.rstrip("?. ")
    return "" if text.casefold().split()[:1] == [column.casefold()] else text
