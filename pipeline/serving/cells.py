"""One value against the rule of its column."""

import math
import re
from decimal import Decimal
from difflib import get_close_matches

from pipeline.governance.text import visible
from pipeline.serving.layout import ColumnRule

MOST_TEXT = 4_000
MOST_SHOWN = 60
MOST_LISTED = 12
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+", re.ASCII)
NOT_A_NUMBER = {"nan", "+nan", "-nan"}
INFINITE = {f"{sign}{word}" for sign in ("", "+", "-") for word in ("inf", "infinity")}
WHOLE = {"int64": 2**63, "int32": 2**31}


class Unfit(ValueError):
    """The value cannot be used; the message ends a sentence that begins with the column's name."""


def check_value(value: object, rule: ColumnRule, *, from_text: bool) -> str | float | bool | None:
    """The value in the type of its column, None for a missing one. Raises Unfit.

    from_text: text is read as what the column holds; otherwise text is text and a number a number.
    """
    if value is None or value == "" or (from_text and isinstance(value, str) and not value.strip()):
        if rule.required:
            raise Unfit(f"is missing{_allowed(rule)}")
        return None
    if rule.kind in {"number", "integer"}:
        return _number(_read(value) if from_text else value, rule)
    if rule.kind == "category":
        return _category(value, rule)
    if rule.kind == "boolean":
        return _boolean(value, from_text=from_text)
    if rule.kind == "text":
        return _text(value)
    return _anything(value, rule, from_text=from_text)


def written(value: object) -> str:
    """A value in a sentence: on one line, not long, text in quotes."""
    if isinstance(value, str):
        return f"'{visible(value, most=MOST_SHOWN)}'"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "infinity"
    return digits(value) if isinstance(value, float) else visible(str(value), most=MOST_SHOWN)


def _read(value: object) -> object:
    """Text as a number where it is one; Python's own float() also takes 1_000 and digits of other scripts."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if NUMBER.fullmatch(text):
        return float(text)
    if text.casefold() in NOT_A_NUMBER | INFINITE:
        return float(text)
    return value


def _number(value: object, rule: ColumnRule) -> float:
    if isinstance(value, str):
        hint = f"; write {value.strip().replace(',', '.')}" if DECIMAL_COMMA.fullmatch(value.strip()) else ""
        raise Unfit(f"{written(value)} is text, not a number{hint}{_allowed(rule)}")
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise Unfit(f"{written(value)} is not a number{_allowed(rule)}")
    found = _finite(value, rule)
    if rule.minimum is not None and found < rule.minimum:
        raise Unfit(f"{written(value)} is below {digits(rule.minimum)}{unit(rule)}{_allowed(rule)}")
    if rule.maximum is not None and found > rule.maximum:
        raise Unfit(f"{written(value)} is above {digits(rule.maximum)}{unit(rule)}{_allowed(rule)}")
    return _whole(found, rule) if rule.kind == "integer" else found


def _finite(value: float | Decimal, rule: ColumnRule) -> float:
    try:
        found = math.nan if isinstance(value, Decimal) and value.is_nan() else float(value)
    except OverflowError as error:
        raise Unfit(f"has more digits than a number can have here{_allowed(rule)}") from error
    if math.isnan(found):
        raise Unfit(f"NaN is not a number{_allowed(rule)}")
    if math.isinf(found):
        raise Unfit(f"infinity is not a finite number{_allowed(rule)}")
    return found


def _whole(value: float, rule: ColumnRule) -> int:
    if not value.is_integer():
        raise Unfit(f"{written(value)} is not a whole number{_allowed(rule)}")
    if not -WHOLE.get(rule.dtype, 2**63) <= value < WHOLE.get(rule.dtype, 2**63):
        raise Unfit(f"{written(value)} is too large")
    return int(value)


def _category(value: object, rule: ColumnRule) -> str:
    if isinstance(value, str) and value in rule.categories:
        return value
    by_folded = {each.strip().casefold(): each for each in rule.categories}
    found = get_close_matches(str(value)[:MOST_TEXT].strip().casefold(), by_folded, n=1)
    hint = f"; did you mean {written(by_folded[found[0]])}?" if found else ""
    raise Unfit(f"{written(value)} is not allowed{hint}{_allowed(rule)}")


def _boolean(value: object, *, from_text: bool) -> bool:
    if from_text and isinstance(value, str) and value.strip().casefold() in {"true", "false"}:
        return value.strip().casefold() == "true"
    if not isinstance(value, bool):
        raise Unfit(f"{written(value)} is neither true nor false")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise Unfit(f"{written(value)} is not text")
    if len(value) > MOST_TEXT:
        raise Unfit(f"has more than {MOST_TEXT:,} characters")
    if not value.isprintable() and any("\ud800" <= each <= "\udfff" for each in value):
        raise Unfit("has characters that are no text")
    return value


def _anything(value: object, rule: ColumnRule, *, from_text: bool) -> str | float | bool:
    """For a column about which nothing is known."""
    if isinstance(value, bool):
        return value
    if from_text:
        value = _read(value)
    if isinstance(value, int | float | Decimal):
        return _finite(value, rule)
    if isinstance(value, str):
        return _text(value)
    raise Unfit(f"{written(value)} is neither text nor a number")


def _allowed(rule: ColumnRule) -> str:
    if rule.categories:
        listed = ", ".join(visible(each, most=MOST_SHOWN) for each in rule.categories[:MOST_LISTED])
        more = f" and {len(rule.categories) - MOST_LISTED} more" if len(rule.categories) > MOST_LISTED else ""
        return f" (allowed {listed}{more})"
    if rule.minimum is not None and rule.maximum is not None:
        return f" (allowed {digits(rule.minimum)} to {digits(rule.maximum)})"
    return ""


def unit(rule: ColumnRule) -> str:
    """With a space before it; empty where the unit explains a scale, such as "1 never to 3 always"."""
    return f" {visible(rule.unit, most=MOST_SHOWN)}" if rule.unit and not rule.unit[0].isdigit() else ""


def digits(value: float) -> str:
    return f"{value:.10g}"
