"""Fields whose value the address names: a link opens them again, and Back leads to what they were.

The address is the only place where such a value is kept. Each run sets a field to what the address says of it, and a
field that changes writes the address anew. Not by Streamlit's `bind="query-params"`: see record 39.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from typing import Any, TypedDict, TypeVar

import streamlit as st

T = TypeVar("T")
Moment = TypeVar("Moment", date, datetime)
Params = dict[str, list[str]]

DRAWN = "fields"  # of a session: the fields that this page has drawn, by name in the address
ASKED = "asked"  # of a session: the page and the address of its last whole run
YES, NO = "true", "false"
MOST_CHARACTERS = 200  # of a text
YEARS = range(1970, 9999)  # the day after is one too


class FieldOptions(TypedDict):
    """What a field of Streamlit takes, beside its label."""

    key: str
    on_change: Callable[[], None]


@dataclass(frozen=True)
class _Kind:
    """How the value of a field stands in the address."""

    default: Any  # which the address does not name
    read: Callable[[list[str]], Any]  # raises LookupError or ValueError for what is no value of the field
    write: Callable[[Any], list[str]]


def begin(page: str) -> None:
    """To be called before anything of a page is drawn.

    A link that leads to another address of the same page gives us that address, and Streamlit's frontend leaves the old
    one in the browser. Said again, it is one step of the browser's history; where it stands there already, none.
    """
    now = (page, params())
    before = st.session_state.get(ASKED)
    if before and before[0] == page and before != now:
        st.query_params.from_dict(now[1])
    st.session_state[ASKED], st.session_state[DRAWN] = now, {}


def params() -> Params:
    """All that the address says."""
    return {name: st.query_params.get_all(name) for name in st.query_params}


def kept() -> Params:
    """What the address says of the fields of this page, for an address that is about something else."""
    drawn = st.session_state.get(DRAWN, {})
    return {name: values for name, values in params().items() if name in drawn}


def write(**named: str) -> None:
    """Writes these to the address, all at once: each write that changes it is one step of the browser's history."""
    if any(st.query_params.get(key) != value for key, value in named.items()):
        st.query_params.update(named)


# By kind of value. also: what a change writes to the address too, by name; None leaves a name out.


def text(key: str, *, also: Mapping[str, str | None] | None = None) -> FieldOptions:
    """The first MOST_CHARACTERS of it."""
    return _field(key, _Kind("", lambda values: values[0][:MOST_CHARACTERS], lambda value: [value]), also)


def flag(key: str, *, default: bool = False) -> FieldOptions:
    def read(values: list[str]) -> bool:
        return {YES: True, NO: False}[values[0]]

    return _field(key, _Kind(default, read, lambda value: [YES if value else NO]))


def one_of(key: str, options: Sequence[T], *, default: T | None = None) -> FieldOptions:
    """default: what is chosen where the address names none of the options; the first where nothing is given."""
    known = {str(option): option for option in options}
    first = next(iter(options), None) if default is None else default
    return _field(key, _Kind(first, lambda values: known[values[0]], lambda value: [str(value)]))


def some_of(key: str, options: Sequence[str], *, also: Mapping[str, str | None] | None = None) -> FieldOptions:
    def read(values: list[str]) -> list[str]:
        return [option for option in options if option in values]

    return _field(key, _Kind([], read, list), also)


def between(key: str, ends: tuple[int, int], *, default: tuple[int, int]) -> FieldOptions:
    """Two whole numbers, the first and the last of a range within these ends."""

    def read(values: list[str]) -> tuple[int, int]:
        first, last = sorted(min(max(int(each), ends[0]), ends[1]) for each in values)
        return first, last

    return _field(key, _Kind(default, read, lambda value: [str(each) for each in value]))


def day(key: str, *, also: Mapping[str, str | None] | None = None) -> FieldOptions:
    def read(values: list[str]) -> date:
        return _known(date.fromisoformat(values[0]))

    return _field(key, _Kind(None, read, lambda value: [value.isoformat()]), also)


def moment(key: str, default: datetime) -> FieldOptions:
    """To the minute, in UTC without saying so."""

    def read(values: list[str]) -> datetime:
        found = _known(datetime.fromisoformat(values[0]))
        return (found.astimezone(UTC) if found.tzinfo else found).replace(tzinfo=None, second=0, microsecond=0)

    return _field(key, _Kind(default, read, lambda value: [value.isoformat(timespec="minutes")]))


def _known(found: Moment) -> Moment:
    if found.year not in YEARS:
        raise ValueError(found)
    return found


def _field(key: str, kind: _Kind, also: Mapping[str, str | None] | None = None) -> FieldOptions:
    value = _asked(key, kind)
    if key not in st.session_state or st.session_state[key] != value:  # set alike, what is being typed would be lost
        st.session_state[key] = value
    st.session_state.setdefault(DRAWN, {})[key] = kind
    return {"key": key, "on_change": partial(_write_fields, also or {})}


def _asked(key: str, kind: _Kind) -> Any:  # noqa: ANN401 (whatever the field has)
    asked = st.query_params.get_all(key)
    try:
        return kind.read(asked) if asked else kind.default
    except (LookupError, ValueError):
        return kind.default


def _write_fields(also: Mapping[str, str | None]) -> None:
    """Every field of the page, not only the one that changed: the address that comes with a change is that of the
    browser, which may not have got the change before it.
    """
    found = params()
    for key, kind in st.session_state[DRAWN].items():
        if key in st.session_state:
            value = st.session_state[key]
            found[key] = [] if value == kind.default else kind.write(value)
    found |= {key: [] if said is None else [said] for key, said in also.items()}
    st.query_params.from_dict({key: values for key, values in found.items() if values})
