"""Text from strangers made safe to show: what is invisible, or turns the reading direction, is written as an escape."""

import unicodedata

INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def visible(text: str, *, most: int = 0) -> str:
    """The text on one line, control and format characters escaped; `most` > 0 cuts it with an ellipsis."""
    shown = "".join(_escape(each) if unicodedata.category(each) in INVISIBLE else each for each in text)
    return f"{shown[: most - 1]}…" if most and len(shown) > most else shown


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
