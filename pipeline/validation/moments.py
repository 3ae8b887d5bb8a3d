"""Dates and times: ISO 8601 in, one way of writing them out; standard library only.

A column of MLflow's type datetime reaches a model as datetime64[ns], which has no zone. A time with an offset is taken
as the same moment in UTC, one without stays as it is written.
"""

import re
from datetime import UTC, date, datetime, timedelta

NANOSECONDS = 10**9
DATE = r"\d{4}-\d{2}-\d{2}"
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
