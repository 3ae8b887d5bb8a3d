"""A form made from the columns of a version; the row is kept for the model while the visitor goes from page to page."""

import math
import re
import zlib
from collections.abc import Mapping

import streamlit as st

from dashboard.components import widgets, words
from pipeline.governance.text import visible
from pipeline.validation.ranges import EXACT
from pipeline.validation.rows import CheckedRow, check_row
from pipeline.validation.schema import ColumnSchema, InputSchema, Source
from pipeline.validation.values import digits

MOST_FIELDS = 80
FIELD_PIXELS = 210
STEPS_IN_RANGE = 20
BOOLEANS = ("true", "false")
SMALL = {"int32", "int16", "int8"}
PLACEHOLDERS = {"integer": "Whole number", "datetime": "2024-03-05T14:30:00"}
MOMENT_HELP = "A date or time in ISO 8601, such as 2024-03-05 or 2024-03-05T14:30:00; with an offset, taken in UTC"
FIELDS_FROM: Mapping[Source, str] = {
    "signature": "the fields are those of its signature",
    "input example": "the fields are those of its input example",
    "model": "the fields are the columns that it was fitted with, and nothing says what they may hold",
}
# Our fields are labelled with markdown: what cannot be anything else is shown as it is.
SENTENCE = re.compile(r"[A-Za-z][A-Za-z0-9 ,?()%'-]*")


def typed_row(model: str, layout: InputSchema, send: str) -> CheckedRow | None:
    """The form, and its row as last sent, checked; before that the defaults, and None where those make no row."""
    if len(layout.columns) > MOST_FIELDS:
        st.caption(f"The version takes {len(layout.columns):,} columns: too many for a form. A file of rows works.")
        return None
    kept = _kept(model)
    given = {rule.name: kept.get(rule.name, rule.default) for rule in layout.columns}
    checked = check_row(given, layout, from_text=True)
    problems = {problem.column: problem.sentence for problem in checked.problems} if kept else {}
    with st.form("row", border=True):
        grid = st.grid("auto", min_column_width=FIELD_PIXELS, vertical_alignment="bottom")
        for position, rule in enumerate(layout.columns):
            if rule.refusal:
                continue
            with grid.cell(), st.container(gap="xxsmall"):
                # Above its field: the fields of a line stand on one base.
                if rule.name in problems:
                    st.badge("Not valid", icon=":material/error:", color="red")
                    st.text(problems[rule.name])
                _field(rule, _key(model, position, rule), given[rule.name])
        st.form_submit_button(send, type="primary", on_click=_send, args=(model, layout))
    if layout.refusals:
        st.text("Left out, because no value can be given here:\n" + "\n".join(f"•  {each}" for each in layout.refusals))
    if layout.source != "feature schema":
        st.caption(f"The version has no feature schema: {FIELDS_FROM[layout.source]}.")
    return None if checked.problems else checked


def keep_row(model: str, row: Mapping[str, object]) -> None:
    """For the form to start with."""
    st.session_state[f"row/{model}"] = dict(row)


def _kept(model: str) -> Mapping[str, object]:
    kept: Mapping[str, object] = st.session_state.get(f"row/{model}", {})
    return kept


def _send(model: str, layout: InputSchema) -> None:
    keys = {rule.name: _key(model, position, rule) for position, rule in enumerate(layout.columns)}
    keep_row(model, {**_kept(model), **{name: st.session_state.get(key) for name, key in keys.items()}})


def _key(model: str, position: int, rule: ColumnSchema) -> str:
    """Versions whose column has other rules have a field of their own."""
    return f"field/{model}/{position}/{zlib.crc32(repr(rule).encode('utf-8', 'backslashreplace'))}"


def _field(rule: ColumnSchema, key: str, start: object) -> None:
    options = rule.categories if rule.kind == "category" else BOOLEANS if rule.kind == "boolean" else ()
    if rule.kind == "boolean" and isinstance(start, bool):
        start = str(start).lower()
    if key not in st.session_state:
        st.session_state[key] = _fitting(rule, start, options)
    label, tip = _label(rule), _help(rule)
    if options:
        st.selectbox(label, options, index=None, key=key, help=tip, format_func=words.name, placeholder="Choose")
    elif _is_field_of_numbers(rule):
        st.number_input(label, value=None, step=_step(rule), format="%g", key=key, help=tip, placeholder="Number")
    else:
        st.text_input(label, key=key, help=tip, max_chars=4_000, placeholder=PLACEHOLDERS.get(rule.kind))


def _is_field_of_numbers(rule: ColumnSchema) -> bool:
    """A browser's own numbers are doubles: whole numbers that may be larger than those tell apart are typed as text."""
    ends = (rule.minimum, rule.maximum) if rule.minimum is not None else (rule.lowest, rule.highest)
    bounded = all(end is not None and abs(end) < EXACT for end in ends)
    return rule.kind == "number" or (rule.kind == "integer" and (bounded or rule.dtype in SMALL))


def _fitting(rule: ColumnSchema, start: object, options: tuple[str, ...]) -> object:
    """What the field can hold; a value of another kind leaves it empty."""
    if options:
        return start if start in options else None
    if not _is_field_of_numbers(rule):
        return "" if start is None else str(start)
    known = isinstance(start, int | float) and not isinstance(start, bool) and math.isfinite(start)
    return float(start) if known else None  # type: ignore[arg-type]


def _label(rule: ColumnSchema) -> str:
    """The column's name, what it is, and its unit; a unit that explains a scale is in the help."""
    unit = f" ({_plain(rule.unit)})" if rule.unit and not rule.unit[0].isdigit() else ""
    same = rule.description.casefold() == rule.name.casefold()
    told = f" · {_plain(rule.description)}" if rule.description and not same else ""
    return f"{words.label(rule.name)}{told}{unit}"


def _help(rule: ColumnSchema) -> str | None:
    parts = [MOMENT_HELP] if rule.kind == "datetime" else []
    if rule.unit and rule.unit[0].isdigit():
        parts.append(words.code(visible(rule.unit)))
    if rule.minimum is not None and rule.maximum is not None:
        parts.append(f"{digits(rule.minimum)} to {digits(rule.maximum)} is allowed")
    if rule.lowest is not None and rule.highest is not None:
        parts.append(f"{digits(rule.lowest)} to {digits(rule.highest)} in the training data")
    return " · ".join(parts) or None


def _plain(text: str) -> str:
    return text if SENTENCE.fullmatch(text) else words.label(text)


def _step(rule: ColumnSchema) -> float:
    """A power of ten that makes some twenty steps, at most 1."""
    low, high = (rule.minimum, rule.maximum) if rule.minimum is not None else (rule.lowest, rule.highest)
    if rule.kind == "integer" or low is None or high is None or not low < high:
        return 1.0
    return float(min(1.0, 10 ** math.floor(math.log10((high - low) / STEPS_IN_RANGE))))


def outside(checked: CheckedRow) -> None:
    """What the model never saw: it answers all the same."""
    if checked.warnings:
        text = "\n".join(warning.sentence for warning in checked.warnings)
        with widgets.message("Outside the training data", text, colour="orange"):
            st.caption("The version was not trained on such values: take the prediction with care.")
