"""The one validation of rows: for a form, a file, the command line and HTTP; standard library only.

Nothing is repaired: no rounding, no clipping, no default for a missing value. A whole number is taken for a number.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pipeline.governance.errors import InvalidInput
from pipeline.governance.text import visible
from pipeline.validation.ranges import is_outside, training_range
from pipeline.validation.schema import ColumnSchema, InputSchema
from pipeline.validation.values import Unfit, check_value, digits, unit, written

Value = str | float | bool | None  # a whole number is an int; None is a missing value where that is allowed
Row = Mapping[str, Value]
MOST_JSON_CHARACTERS = 2**20
MOST_NAME = 80
MOST_SENTENCES = 50


@dataclass(frozen=True)
class Problem:
    """Why a row cannot be used, or that a value of it lies outside the training data."""

    column: str  # empty where it is about the row as a whole
    row: int | None  # the line of a file (the header is line 1), else the number among several rows, from 1
    sentence: str  # names the row and the column


@dataclass(frozen=True)
class CheckedRow:
    """The verdict on one row."""

    values: Row  # in the schema's order, complete only where there are no problems
    problems: tuple[Problem, ...]  # each of them refuses the row
    warnings: tuple[Problem, ...]  # values outside the training data, which refuse nothing


class InvalidRows(InvalidInput):
    """Rows that do not fit the columns of the version; `problems` has all of them, the sentence the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(f"{problems[0].sentence}{more}")
        self.problems = tuple(problems)

    @property
    def sentences(self) -> list[str]:
        """One per problem, so that whoever corrects rows does so once; at most 50 and how many more there are."""
        shown = [problem.sentence for problem in self.problems[:MOST_SENTENCES]]
        more = len(self.problems) - len(shown)
        return [*shown, f"and {more:,} more"] if more else shown


def check_row(
    given: Mapping[str, object], schema: InputSchema, *, from_text: bool = False, row: int | None = None
) -> CheckedRow:
    """The verdict on one row by column name; an optional column that is not there is a missing value.

    from_text: every value is text, as in a CSV file or a text field; "" is missing.
    """
    problems = check_columns(given.names if isinstance(given, Repeated) else given, schema, row=row)
    values: dict[str, Value] = {}
    warnings: list[Problem] = []
    for column in schema.columns:
        if column.name not in given and column.required:
            continue
        try:
            values[column.name] = check_value(given.get(column.name), column, from_text=from_text)
        except Unfit as unfit:
            problems.append(_problem(column.name, row, str(unfit)))
        else:
            warnings += [_problem(column.name, row, text) for text in _outside_training(values[column.name], column)]
    return CheckedRow(values, tuple(problems), tuple(warnings))


def check_rows(
    rows: Sequence[Mapping[str, object]], schema: InputSchema, *, from_text: bool = False
) -> list[CheckedRow]:
    """The rows, checked and numbered from 1 where there are several. Raises InvalidRows with every problem of all."""
    if not rows:
        raise InvalidInput("rows: there are none")
    numbers: Iterable[int | None] = range(1, len(rows) + 1) if len(rows) > 1 else [None]
    checked = [
        check_row(row, schema, from_text=from_text, row=number) for row, number in zip(rows, numbers, strict=True)
    ]
    if problems := [problem for each in checked for problem in each.problems]:
        raise InvalidRows(problems)
    return checked


def check_columns(names: Iterable[str], schema: InputSchema, *, row: int | None = None) -> list[Problem]:
    """The problems of a header: columns that are required and missing, given twice, or unknown."""
    listed = list(names)
    if len(listed) == len(schema.names) and set(listed) == set(schema.names):
        return []
    given = Counter(listed)
    missing = [name for name in schema.names if name not in given]
    needed = [column for column in schema.columns if column.required and column.name not in given]
    problems = [_problem(column.name, row, column.refusal or _missing(column.name, given, schema)) for column in needed]
    problems += [_problem(name, row, "is there more than once") for name, count in given.items() if count > 1]
    unknown = [name for name in given if name not in schema.names]
    return problems + [_problem(name, row, _unknown(name, missing, schema)) for name in unknown]


def absent_columns(names: Sequence[str], schema: InputSchema) -> tuple[str, ...]:
    """A sentence for each column that a file need not have and has not: it counts as missing in every row."""
    absent = [
        column.name for column in schema.columns if not (column.required or column.refusal or column.name in names)
    ]
    found = Counter(names)
    sentences = ((name, _missing(name, found, schema).removeprefix("is missing")) for name in absent)
    return tuple(
        f"{visible(name, most=MOST_NAME)}: is not in the file, so missing in every row{hint}"
        for name, hint in sentences
    )


def columnar(rows: Sequence[Row], schema: InputSchema) -> dict[str, list[Any]]:
    """Checked rows by column with pandas' dtypes, as the worker takes them."""
    values = [[row[column.name] for row in rows] for column in schema.columns]
    dtypes = [
        nullable(column.dtype) if None in found else column.dtype
        for column, found in zip(schema.columns, values, strict=True)
    ]
    return {"columns": list(schema.names), "dtypes": dtypes, "values": values}


def nullable(dtype: str) -> str:
    """The dtype with missing values: NumPy's whole numbers and booleans have none."""
    return "float64" if dtype.startswith("int") else "object" if dtype == "bool" else dtype


class Repeated(dict[str, Any]):
    """An object of JSON in which a name is there more than once; JSON itself lets the last one win."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.names = [name for name, _ in pairs]

    @property
    def problems(self) -> list[Problem]:
        return [
            _problem(name, None, "is there more than once") for name, count in Counter(self.names).items() if count > 1
        ]


def parse_row(text: str) -> dict[str, object]:
    """A row as a JSON object, such as `{"Age": 24, "Gender": "Male"}`.

    Raises InvalidInput, and InvalidRows for a column that is there twice.
    """
    row = _parsed(text, "row")
    if isinstance(row, Repeated):
        raise InvalidRows(row.problems)
    if not isinstance(row, dict):
        raise InvalidInput('row: must be a JSON object such as {"Age": 24}')
    return row


def parse_rows(text: str, *, most: int) -> list[dict[str, object]]:
    """The rows of `{"rows": [...]}`; a column that is there twice is a problem of its row. Raises InvalidInput."""
    content = _parsed(text, "rows")
    if not isinstance(content, dict) or isinstance(content, Repeated) or set(content) != {"rows"}:
        raise InvalidInput('rows: must be the one entry of a JSON object, such as {"rows": [{"Age": 24}]}')
    rows = content["rows"]
    if not isinstance(rows, list) or not rows:
        raise InvalidInput("rows: must be a list with at least one row")
    if len(rows) > most:
        raise InvalidInput(f"rows: there are {len(rows):,}; at most {most:,} are taken at once")
    if wrong := [number for number, row in enumerate(rows, start=1) if not isinstance(row, dict)]:
        raise InvalidInput(f'row {wrong[0]}: must be a JSON object such as {{"Age": 24}}')
    return rows


def _parsed(text: str, about: str) -> Any:  # noqa: ANN401 (whatever is JSON)
    if len(text) > MOST_JSON_CHARACTERS:
        raise InvalidInput(f"{about}: has more than {MOST_JSON_CHARACTERS:,} characters")
    try:
        return json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{about}: is not valid JSON ({visible(str(error), most=MOST_NAME)})") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else Repeated(pairs)


def _missing(name: str, given: Mapping[str, int], schema: InputSchema) -> str:
    unknown = [each for each in given if each not in schema.names]
    close = _closest(name, unknown)
    return f"is missing; is it the column {written(close)}?" if close else "is missing"


def _unknown(name: str, missing: Sequence[str], schema: InputSchema) -> str:
    close = _closest(name, missing) or _closest(name, schema.names)
    return "is not a column of this model" + (f"; did you mean {visible(close, most=MOST_NAME)}?" if close else "")


def _closest(name: str, names: Sequence[str]) -> str | None:
    by_folded = {each.strip().casefold(): each for each in names}
    found = get_close_matches(name.strip().casefold(), by_folded, n=1)
    return by_folded[found[0]] if found else None


def _outside_training(value: Value, column: ColumnSchema) -> list[str]:
    """Sentences about a value that the training data did not hold."""
    if isinstance(value, str):
        return [f"{written(value)} did not occur in the training data"] if value in column.unseen else []
    trained = training_range(column)
    if value is None or isinstance(value, bool) or trained is None or not is_outside(value, trained):
        return []
    lowest, highest = map(digits, trained)
    return [f"{digits(value)}{unit(column)} lies outside the training data ({lowest} to {highest})"]


def _problem(column: str, row: int | None, text: str) -> Problem:
    where = f"row {row}, " if row is not None else ""
    return Problem(column, row, f"{where}{visible(column, most=MOST_NAME)}: {text}")


# A row that a version takes: to try it with, and to show in the documentation of its columns.


def example_row(schema: InputSchema, shown: Mapping[str, Sequence[Any]] | None = None) -> CheckedRow | None:
    """A row from the columns' defaults, else from the input example (`shown`), else from what a column allows.

    None where a column says too little to make one up, or where the row breaks the columns' own rules.
    """
    values = {column.name: _value(column, (shown or {}).get(column.name, ())) for column in schema.columns}
    checked = check_row(values, schema)
    return None if checked.problems else checked


def _value(column: ColumnSchema, shown: Sequence[Any]) -> Value:
    """A value for the example row; None also where nothing is known, which a required column refuses."""
    known = (value for value in shown if isinstance(value, str | int | float))
    found: Value = column.default if column.default is not None else next(known, None)
    if found is not None:
        return found
    if column.categories:
        return column.categories[0]
    if column.kind == "boolean":
        return False
    if column.kind in {"number", "integer"}:
        return _inside(column)
    return None


def _inside(column: ColumnSchema) -> float:
    """A number that the column accepts: 0 where that is allowed, else the nearer bound."""
    lowest = column.minimum if column.minimum is not None else column.lowest
    highest = column.maximum if column.maximum is not None else column.highest
    return max(lowest if lowest is not None else 0.0, min(highest if highest is not None else 0.0, 0.0))
