"""A form with a field per column of a version's input schema.

The session keeps its row while the page changes, and the address names it, so that a link opens the same form.
"""

import math
import re
import zlib
from collections.abc import Mapping

import streamlit as st

from dashboard import session
from dashboard.components import widgets, words
from pipeline.governance.errors import InvalidInput
from pipeline.governance.text import column_label, visible
from pipeline.validation.ranges import EXACT
from pipeline.validation.row_address import row_of_text, row_text
from pipeline.validation.rows import MOST_NAME, CheckedRow, Problem, check_row
from pipeline.validation.schema import ColumnSchema, InputSchema, Source
from pipeline.validation.values import digits

MOST_FIELDS = 80
FIELD_PIXELS = 190
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


def typed_row(model: str, schema: InputSchema, send: str) -> CheckedRow | None:
    """Draws the form and returns its row as last sent, checked; before that the defaults.

    None where the row is not valid. send: the label of the button.
    """
    if len(schema.columns) > MOST_FIELDS:
        st.caption(f"The version takes {len(schema.columns):,} columns: too many for a form. A file of rows works.")
        return None
    if refusal := _follow_address(model, schema):
        text = f"{refusal}\nThe form starts with the defaults instead."
        widgets.message("The row in the address cannot be used", text, colour="orange")
    kept = _kept(model)
    values = {column.name: kept.get(column.name, column.default) for column in schema.columns}
    checked = check_row(values, schema, from_text=True)
    problems = {problem.column: told(problem, labels_of(schema)) for problem in checked.problems} if kept else {}
    with st.form("row", border=True):
        grid = st.grid("auto", min_column_width=FIELD_PIXELS, vertical_alignment="bottom")
        for position, column in enumerate(schema.columns):
            if column.refusal:
                continue
            with grid.cell(), st.container(gap="xxsmall"):
                # Above its field: the fields beside each other are aligned at their lower edge.
                if column.name in problems:
                    st.badge("Not valid", icon=":material/error:", color="red")
                    st.text(problems[column.name])
                _field(column, _key(model, position, column), values[column.name])
        st.form_submit_button(send, type="primary", on_click=_send, args=(model, schema))
        _not_sent(problems)
    if schema.refusals:
        st.text("Left out, because no value can be given here:\n" + "\n".join(f"•  {each}" for each in schema.refusals))
    if schema.source != "feature schema":
        st.caption(f"The version has no feature schema: {FIELDS_FROM[schema.source]}.")
    return None if checked.problems else checked


def _not_sent(problems: Mapping[str, str]) -> None:
    """Below the button too what is not valid: the field may be far above it."""
    if problems:
        st.badge(f"{words.count(len(problems), 'field')} not valid", icon=":material/error:", color="red")
        st.text("\n".join(f"•  {each}" for each in problems.values()))


def keep_row(model: str, row: Mapping[str, object]) -> None:
    """Keeps the row that the form of this model starts with."""
    st.session_state[f"row/{model}"] = dict(row)


def _kept(model: str) -> Mapping[str, object]:
    kept: Mapping[str, object] = st.session_state.get(f"row/{model}", {})
    return kept


def _send(model: str, schema: InputSchema) -> None:
    keys = _keys(model, schema)
    keep_row(model, {**_kept(model), **{name: st.session_state.get(key) for name, key in keys.items()}})
    _write_address(model, schema)


def _follow_address(model: str, schema: InputSchema) -> str:
    """Takes over the row of an address that is new, and returns why it cannot be used; "" where it can.

    On the way in from another page the session's row goes into an address without one. Afterwards an address without
    a row means the defaults: somebody went back.
    """
    text, followed = st.query_params.get(session.ROW_VALUES, ""), session.followed_row()
    if followed and (followed.model, followed.text) == (model, text):
        return followed.refusal
    if not text and (not followed or followed.model != model):
        _write_address(model, schema)
        return ""
    row, refusal = _read(text, schema)
    keep_row(model, row)
    for key in _keys(model, schema).values():
        st.session_state.pop(key, None)
    session.follow_row(session.FollowedRow(model, text, refusal))
    return refusal


def _read(text: str, schema: InputSchema) -> tuple[Mapping[str, object], str]:
    """The row of an address, or none and the reason."""
    try:
        return (row_of_text(text, schema) if text else {}), ""
    except InvalidInput as error:
        return {}, str(error)


def _write_address(model: str, schema: InputSchema) -> None:
    """The row that the session keeps; of one that is not valid the address keeps silent."""
    kept = _kept(model)
    checked = check_row({column.name: kept.get(column.name, column.default) for column in schema.columns}, schema,
                        from_text=True)  # fmt: skip
    text = "" if checked.problems else row_text(checked.values, schema)
    session.follow_row(session.FollowedRow(model, text))
    if text:
        st.query_params[session.ROW_VALUES] = text
    else:
        st.query_params.pop(session.ROW_VALUES, None)


def _keys(model: str, schema: InputSchema) -> dict[str, str]:
    return {column.name: _key(model, position, column) for position, column in enumerate(schema.columns)}


def _key(model: str, position: int, column: ColumnSchema) -> str:
    """The key of a field: a version whose column is described otherwise has a field of its own."""
    return f"field/{model}/{position}/{zlib.crc32(repr(column).encode('utf-8', 'backslashreplace'))}"


def _field(column: ColumnSchema, key: str, start: object) -> None:
    options = column.categories if column.kind == "category" else BOOLEANS if column.kind == "boolean" else ()
    if column.kind == "boolean" and isinstance(start, bool):
        start = str(start).lower()
    if key not in st.session_state:
        st.session_state[key] = _fitting(column, start, options)
    label, tip = _label(column), _help(column)
    if options:
        st.selectbox(label, options, index=None, key=key, help=tip, format_func=words.name, placeholder="Choose")
    elif _is_field_of_numbers(column):
        st.number_input(label, value=None, step=_step(column), format="%g", key=key, help=tip, placeholder="Number")
    else:
        st.text_input(label, key=key, help=tip, max_chars=4_000, placeholder=PLACEHOLDERS.get(column.kind))


def _is_field_of_numbers(column: ColumnSchema) -> bool:
    """Whether a browser's number field can hold the column's values: they are doubles, exact up to 2**53.

    Whole numbers that may be larger are typed as text.
    """
    ends = (column.minimum, column.maximum) if column.minimum is not None else (column.lowest, column.highest)
    bounded = all(end is not None and abs(end) < EXACT for end in ends)
    return column.kind == "number" or (column.kind == "integer" and (bounded or column.dtype in SMALL))


def _fitting(column: ColumnSchema, start: object, options: tuple[str, ...]) -> object:
    """The value that a field starts with; one that the field cannot hold leaves it empty."""
    if options:
        return start if start in options else None
    if not _is_field_of_numbers(column):
        return "" if start is None else str(start)
    known = isinstance(start, int | float) and not isinstance(start, bool) and math.isfinite(start)
    return float(start) if known else None  # type: ignore[arg-type]


def _label(column: ColumnSchema) -> str:
    """What people call the column, its unit, and its own name small; a unit that explains a scale is in the help."""
    unit = f" ({_plain(column.unit)})" if column.unit and not column.unit[0].isdigit() else ""
    if not column.description or column.description.casefold() == column.name.casefold():
        return f"{words.label(column.name)}{unit}"
    called = f"{_plain(column.description.rstrip('?. '))}{unit}"
    if not column_label(column.name, column.description):  # it begins with the name
        return called
    return f"{called} :gray[:small[{words.label(column.name)}]]" if words.PLAIN.fullmatch(column.name) else (
        f"{called} · {words.label(column.name)}"
    )  # fmt: skip


def labels_of(schema: InputSchema) -> Mapping[str, str]:
    """What people call the columns whose name does not say it, see FeatureSchema.labels."""
    found = {column.name: column_label(column.name, column.description) for column in schema.columns}
    return {name: label for name, label in found.items() if label}


def told(problem: Problem, labels: Mapping[str, str]) -> str:
    """The sentence of a problem, with the column as people call it."""
    where = f"row {problem.row}, " if problem.row is not None else ""
    name = visible(problem.column, most=MOST_NAME)
    return f"{where}{words.column(problem.column, labels)}: {problem.sentence.removeprefix(f'{where}{name}: ')}"


def _help(column: ColumnSchema) -> str | None:
    found = [MOMENT_HELP] if column.kind == "datetime" else []
    if column.unit and column.unit[0].isdigit():
        found.append(words.code(visible(column.unit)))
    if column.minimum is not None and column.maximum is not None:
        found.append(f"{digits(column.minimum)} to {digits(column.maximum)} is allowed")
    if column.lowest is not None and column.highest is not None:
        found.append(f"{digits(column.lowest)} to {digits(column.highest)} in the training data")
    return " · ".join(found) or None


def _plain(text: str) -> str:
    return text if SENTENCE.fullmatch(text) else words.label(text)


def _step(column: ColumnSchema) -> float:
    """The step of a number field: a power of ten, at most 1, that makes some twenty steps in the range."""
    low, high = (column.minimum, column.maximum) if column.minimum is not None else (column.lowest, column.highest)
    if column.kind == "integer" or low is None or high is None or not low < high:
        return 1.0
    return float(min(1.0, 10 ** math.floor(math.log10((high - low) / STEPS_IN_RANGE))))


def outside(checked: CheckedRow, schema: InputSchema) -> None:
    """Warns of values outside the training range, for which the version predicts all the same."""
    if checked.warnings:
        text = "\n".join(told(warning, labels_of(schema)) for warning in checked.warnings)
        with widgets.message("Outside the training data", text, colour="orange"):
            st.caption("The version was not trained on such values: take the prediction with care.")
