"""One value against the schema of its column: what is accepted, in which form, and the sentence of a refusal."""

import math
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from difflib import get_close_matches

from pipeline.governance.text import visible
from pipeline.validation.ranges import EXACT, MOST_TEXT, largest_number, whole_range
from pipeline.validation.schema import ColumnSchema

# Dates and times: ISO 8601 in, one way of writing them out; standard library only.

NANOSECONDS = 10**9
DAY = r"-\d{2}-\d{2}"  # behind a year
DATE = rf"\d{{4}}{DAY}"
TIME = r"[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?"
OFFSET = r"(Z|[+-]\d{2}(:?\d{2}(:\d{2})?)?)"
PATTERN = f"^{DATE}({TIME}{OFFSET}?)?$"  # as JSON Schema has it
MOMENT = re.compile(rf"(?P<day>{DATE})(?P<time>{TIME}(?P<offset>{OFFSET})?)?", re.ASCII)
FRACTION = re.compile(r"\.(\d+)")
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 (what reaches the model has no zone)
FIRST, LAST = "1677-09-22", "2262-04-11"  # days that nanoseconds since 1970 in 64 bits reach
EXAMPLE = "2024-03-05 or 2024-03-05T14:30:00"


class NoMoment(ValueError):
    """The message ends a sentence that begins with the value."""


def written_moment(value: str | date) -> str:
    """As `2024-03-05T14:30:00.25`, in UTC where it had an offset. Raises NoMoment.

    value: text, or whatever Python or pandas has for a date or a time of a date.
    """
    text = value.strip() if isinstance(value, str) else value.isoformat()
    found = MOMENT.fullmatch(text)
    if found is None:
        raise NoMoment(f"is neither a date nor a time in ISO 8601, such as {EXAMPLE}")
    fraction = FRACTION.search(text)
    digits = fraction[1].rstrip("0") if fraction else ""
    try:
        # Python keeps six digits of a second, so all of them are put back afterwards; an offset has whole seconds.
        moment = datetime.fromisoformat(FRACTION.sub("", text))
        plain = moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    except (ValueError, OverflowError) as error:
        raise NoMoment("names no day or time that there is") from error
    since = (plain - EPOCH) // timedelta(seconds=1) * NANOSECONDS + int(digits.ljust(9, "0"))
    if not -(2**63) < since < 2**63:
        raise NoMoment(f"lies outside of what a model can be given, {FIRST} to {LAST}")
    return plain.isoformat(timespec="seconds") + (f".{digits}" if digits else "")


MOST_SHOWN = 60
MOST_LISTED = 12
NUMBER_PATTERN = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
NUMBER = re.compile(NUMBER_PATTERN, re.ASCII)
WHOLE_NUMBER = re.compile(r"[+-]?\d+", re.ASCII)
# Three digits after a comma are more often thousands than thousandths: nobody is told to write 1.234 for 1,234.
DECIMAL_COMMA = re.compile(r"[+-]?\d+,(\d{1,2}|\d{4,})", re.ASCII)
GROUPED = re.compile(r"[+-]?\d+([.,'\u2019 \u00a0\u202f]\d+)+", re.ASCII)
NO_VALUE = {"na", "n/a", "#n/a", "<na>", "nan", "nat", "null", "none", "-nan", "+nan"}
NOT_A_NUMBER = {"nan", "+nan", "-nan"}
INFINITE = {f"{sign}{word}" for sign in ("", "+", "-") for word in ("inf", "infinity")}


class Unfit(ValueError):
    """The value cannot be used; the message ends a sentence that begins with the column's name."""


def check_value(value: object, column: ColumnSchema, *, from_text: bool) -> str | float | bool | None:
    """The value in the type of its column, None for a missing one. Raises Unfit.

    from_text: text is read as what the column holds; otherwise text is text and a number a number.
    """
    if value is None or value == "" or (from_text and isinstance(value, str) and not value.strip()):
        if column.required:
            raise Unfit(column.refusal or f"is missing{_allowed(column)}")
        return None
    if column.kind == "unfit":
        raise Unfit(column.refusal)
    try:
        return _checked(value, column, from_text=from_text)
    except Unfit as unfit:
        if not column.required and str(value).strip().casefold() in NO_VALUE:
            how = "leave it empty" if from_text else "write null"
            raise Unfit(f"{unfit}; for a missing value {how}") from unfit
        raise


def _checked(value: object, column: ColumnSchema, *, from_text: bool) -> str | float | bool:
    """A value that is not missing, in the type of its column. Raises Unfit."""
    match column.kind:
        case "number" | "integer":
            return _number(_read(value) if from_text else value, column)
        case "category":
            return _category(value, column)
        case "boolean":
            return _boolean(value, from_text=from_text)
        case "text":
            return _text(value)
        case "datetime":
            return _moment(value)
    return _anything(value, column, from_text=from_text)


def written(value: object) -> str:
    """A value as a sentence quotes it: on one line, not long, text in quotes."""
    if isinstance(value, str):
        return f"'{visible(value, most=MOST_SHOWN)}'"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "infinity"
    return digits(value) if isinstance(value, float) else visible(str(value), most=MOST_SHOWN)


def _read(value: object) -> object:
    """Text as a number where it is one; Python's own float() would also take 1_000 and digits of other scripts.

    What a float may not hold to its last digit is read exactly.
    """
    if not isinstance(value, str):
        return value
    text = value.strip()
    if NUMBER.fullmatch(text):
        found = float(text)
        if abs(found) < EXACT or math.isinf(found):
            return found
        return int(text) if WHOLE_NUMBER.fullmatch(text) else Decimal(text)
    if text.casefold() in NOT_A_NUMBER | INFINITE:
        return float(text)
    return value


def _number(value: object, column: ColumnSchema) -> float:
    if isinstance(value, str):
        raise Unfit(f"{written(value)} is text, not a number{_hint(value.strip())}{_allowed(column)}")
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise Unfit(f"{written(value)} is not a number{_allowed(column)}")
    near = _finite(value, column)
    exact = value if isinstance(value, int) else near
    if column.minimum is not None and exact < column.minimum:
        raise Unfit(f"{written(value)} is below {digits(column.minimum)}{unit(column)}{_allowed(column)}")
    if column.maximum is not None and exact > column.maximum:
        raise Unfit(f"{written(value)} is above {digits(column.maximum)}{unit(column)}{_allowed(column)}")
    return _whole(value, near, column) if column.kind == "integer" else _as_double(value, near)


def _hint(text: str) -> str:
    if DECIMAL_COMMA.fullmatch(text):
        return f"; write {text.replace(',', '.')}"
    if GROUPED.fullmatch(text) and not NUMBER.fullmatch(text):
        return "; write a point before decimals and nothing between thousands"
    return ""


def _finite(value: float | Decimal, column: ColumnSchema) -> float:
    try:
        found = math.nan if isinstance(value, Decimal) and value.is_nan() else float(value)
    except OverflowError as error:
        raise Unfit(f"has more digits than a number can have here{_allowed(column)}") from error
    if math.isnan(found):
        raise Unfit(f"NaN is not a number{_allowed(column)}")
    if math.isinf(found):
        raise Unfit(f"infinity is not a finite number{_allowed(column)}")
    if abs(found) > (most := largest_number(column)):
        raise Unfit(f"{written(value)} is too large (allowed {digits(-most)} to {digits(most)})")
    return found


def _whole(value: float | Decimal, near: float, column: ColumnSchema) -> int:
    """A whole number to its last digit, of which `near` is the float. Raises Unfit."""
    whole = int(value)
    if value != whole:
        raise Unfit(f"{written(value)} is not a whole number{_allowed(column)}")
    lowest, highest = whole_range(column)
    if not lowest <= whole <= highest:
        raise Unfit(f"{written(value)} is too large (allowed {lowest} to {highest})")
    if isinstance(value, float) and abs(value) > EXACT:
        raise Unfit(f"{written(value)} is no whole number to its last digit; beyond {EXACT} write it without a point")
    # NumPy's whole numbers have no missing value: a column that may miss one travels as doubles.
    if not column.required and near != whole:
        raise Unfit(_too_exact(whole, near))
    return whole


def _as_double(value: float | Decimal, near: float) -> float:
    """The nearest double, which must equal a whole number, or be written in the shortest way by it."""
    if isinstance(value, int) and near != value and Decimal(repr(near)) != value:
        raise Unfit(_too_exact(value, near))
    return near


def _too_exact(value: int, near: float) -> str:
    return f"{written(value)} has more digits than the column holds, whose nearest number is {int(near)}"


def _category(value: object, column: ColumnSchema) -> str:
    if isinstance(value, str) and value in column.categories:
        return value
    by_folded = {each.strip().casefold(): each for each in column.categories}
    found = get_close_matches(str(value)[:MOST_TEXT].strip().casefold(), by_folded, n=1)
    hint = f"; did you mean {written(by_folded[found[0]])}?" if found else ""
    raise Unfit(f"{written(value)} is not allowed{hint}{_allowed(column)}")


def _boolean(value: object, *, from_text: bool) -> bool:
    if from_text and isinstance(value, str) and value.strip().casefold() in {"true", "false"}:
        return value.strip().casefold() == "true"
    if not isinstance(value, bool):
        raise Unfit(f"{written(value)} is neither true nor false")
    return value


def _moment(value: object) -> str:
    if not isinstance(value, str | date):
        raise Unfit(f"{written(value)} is no date or time (allowed is text in ISO 8601, such as {EXAMPLE})")
    try:
        return written_moment(value)
    except NoMoment as error:
        raise Unfit(f"{written(value)} {error}") from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise Unfit(f"{written(value)} is not text")
    if len(value) > MOST_TEXT:
        raise Unfit(f"has more than {MOST_TEXT:,} characters")
    if not value.isprintable() and any("\ud800" <= each <= "\udfff" for each in value):
        raise Unfit("has characters that are no text")
    return value


def _anything(value: object, column: ColumnSchema, *, from_text: bool) -> str | float | bool:
    """A value of a column about which nothing is known."""
    if isinstance(value, bool):
        return value
    if from_text:
        value = _read(value)
    if isinstance(value, int | float | Decimal):
        return _as_double(value, _finite(value, column))
    if isinstance(value, str):
        return _text(value)
    raise Unfit(f"{written(value)} is neither text nor a number")


def _allowed(column: ColumnSchema) -> str:
    if column.categories:
        listed = ", ".join(visible(each, most=MOST_SHOWN) for each in column.categories[:MOST_LISTED])
        more = f" and {len(column.categories) - MOST_LISTED} more" if len(column.categories) > MOST_LISTED else ""
        return f" (allowed {listed}{more})"
    if column.minimum is not None and column.maximum is not None:
        return f" (allowed {digits(column.minimum)} to {digits(column.maximum)})"
    return ""


def unit(column: ColumnSchema) -> str:
    """The unit with a space before it; empty where it explains a scale, such as "1 never to 3 always"."""
    return f" {visible(column.unit, most=MOST_SHOWN)}" if column.unit and not column.unit[0].isdigit() else ""


def digits(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.10g}"
