"""Fields whose value the address names: a link opens them again, and Back leads to what they were.

The address is the only place where such a value is kept. Each run sets a field to what the address says of it, and a
field that changes writes the address anew. Not by Streamlit's `bind="query-params"`: see record 39.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import partial
from typing import Any, TypedDict, TypeVar

import streamlit as st

T = TypeVar("T")
Moment = TypeVar("Moment", date, datetime)
Params = dict[str, list[str]]

FIELDS = "fields"  # of a session: those of the page
YES, NO, NONE = "true", "false", ""
MOST_CHARACTERS = 200  # of a text
MOST_DIGITS = 18  # a number with more is none of any database
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
    options: tuple[Any, ...] = ()  # with others it is another field to Streamlit


@dataclass
class _Fields:
    """The fields that a page has drawn, by name in the address: what each is, and its value."""

    page: str = ""
    address: Params = field(default_factory=dict)  # of its last run
    before: dict[str, tuple[_Kind, Any]] = field(default_factory=dict)  # by the run before the last one
    drawn: dict[str, tuple[_Kind, Any]] = field(default_factory=dict)  # by the last run

    @property
    def shown(self) -> dict[str, tuple[_Kind, Any]]:
        """Those that the browser shows: where a run was interrupted, some of them are of the run before."""
        return self.before | self.drawn


def _fields() -> _Fields:
    found: _Fields = st.session_state.setdefault(FIELDS, _Fields())
    return found


def begin(page: str) -> None:
    """To be called before anything of a page is drawn, as `end` after all of it.

    A link that leads to another address of the same page gives us that address, and Streamlit's frontend leaves the old
    one in the browser. Said again, it is one step of the browser's history; where it stands there already, none.
    """
    before, now = _fields(), params()
    stays = before.page == page
    if stays and before.address != now:
        _say(now)
    st.session_state[FIELDS] = _Fields(page, now, before.shown if stays else {})


def end() -> None:
    """What the last run has not drawn is not shown any more."""
    _fields().before = {}


def params() -> Params:
    """All that the address says."""
    return {name: st.query_params.get_all(name) for name in st.query_params}


def kept() -> Params:
    """What the address says of the fields of this page, for an address that is about something else."""
    return {name: values for name, values in params().items() if name in _fields().shown}


def write(**named: str | None) -> None:
    """Writes these to the address, all at once: each write that changes it is one step of the browser's history.

    None leaves a name out.
    """
    if any(st.query_params.get(key) != value for key, value in named.items()):
        _say(params() | {key: [] if value is None else [value] for key, value in named.items()})


def values(key: str, default: Sequence[str]) -> list[str]:
    """What the address says of a field, whether or not it is drawn; an empty value is none of them."""
    return [value for value in st.query_params.get_all(key) if value] if key in st.query_params else list(default)


def number_in(text: str) -> int | None:
    """A number as an address or a field has it; None for what no event and no version could have."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS else None


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
    return _field(key, _Kind(first, lambda values: known[values[0]], lambda value: [str(value)], tuple(options)))


def some_of(
    key: str,
    options: Sequence[str],
    *,
    default: Sequence[str] = (),
    also: Mapping[str, str | None] | None = None,
) -> FieldOptions:
    """In the order in which they were chosen."""

    def read(values: list[str]) -> list[str]:
        return [value for value in dict.fromkeys(values) if value in options]

    return _field(key, _Kind(list(default), read, lambda value: list(value) or [NONE], tuple(options)), also)


def between(key: str, ends: tuple[int, int], *, default: tuple[int, int]) -> FieldOptions:
    """Two whole numbers, the first and the last of a range within these ends."""

    def read(values: list[str]) -> tuple[int, int]:
        first, last = sorted(min(max(int(each), ends[0]), ends[1]) for each in values)
        return first, last

    return _field(key, _Kind(default, read, lambda value: [str(each) for each in value], ends))


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
    value, fields = _asked(key, kind), _fields()
    known = fields.shown.get(key)
    is_new = known is None or known[0].options != kind.options  # what the session has may be another field's
    if is_new or key not in st.session_state or st.session_state[key] != value:
        st.session_state[key] = value  # not where it is set already: what is being typed would be lost
    fields.drawn[key] = kind, value
    return {"key": key, "on_change": partial(_changed, key, kind, also or {})}


def _asked(key: str, kind: _Kind) -> Any:  # noqa: ANN401 (whatever the field has)
    asked = st.query_params.get_all(key)
    try:
        return kind.read(asked) if asked else kind.default
    except (LookupError, ValueError):
        return kind.default


def _changed(key: str, kind: _Kind, also: Mapping[str, str | None]) -> None:
    """Writes all fields that are shown: the address that comes with a change is that of the browser, which may not have
    got the change before it.
    """
    fields = _fields()
    fields.drawn[key] = kind, st.session_state[key]
    said = {name: [] if value == of.default else of.write(value) for name, (of, value) in fields.shown.items()}
    _say(params() | said | {name: [] if value is None else [value] for name, value in also.items()})


def _say(address: Params) -> None:
    st.query_params.from_dict({name: values for name, values in address.items() if values})
