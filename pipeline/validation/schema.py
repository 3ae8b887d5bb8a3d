"""Which columns a version takes and what each may hold: from its feature schema, else its signature, else its example.

All three come from strangers: whatever is not of the expected shape counts as missing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from pipeline.governance.errors import InvalidInput
from pipeline.governance.record.documents import DescribedColumn, FeatureSchema, entry_of, number
from pipeline.governance.record.evidence import Evidence
from pipeline.governance.text import visible

Kind = Literal["number", "integer", "category", "text", "boolean", "datetime", "any", "unfit"]
Source = Literal["feature schema", "signature", "input example", "model"]
MOST_COLUMNS = 2_000
MATRIX = 2  # dimensions: rows and columns
# MLflow's words for types, and what a column of rows must be to pass its own check of them.
SIGNATURE: dict[str, tuple[Kind, str]] = {
    "double": ("number", "float64"),
    "float": ("number", "float32"),
    "long": ("integer", "int64"),
    "integer": ("integer", "int32"),
    "string": ("text", "str"),
    "boolean": ("boolean", "bool"),
    "datetime": ("datetime", "datetime64[ns]"),
}
# MLflow's types of which a form, a file or a row has no value, in our words.
UNFIT = {
    "array": "an array",
    "binary": "bytes",
    "map": "a map",
    "object": "an object",
    "sparse_vector": "a sparse vector",
}


@dataclass(frozen=True)
class ColumnSchema:
    """What one column of the input accepts, and what the training rows held of it."""

    name: str  # as the model knows it
    kind: Kind  # what its values are; "unfit" takes none
    dtype: str = ""  # pandas' name, empty where nobody says
    unit: str = ""  # for people, such as kg
    minimum: float | None = None  # the least accepted; None where the version names none, see ranges.accepted_range
    maximum: float | None = None  # the greatest accepted
    categories: tuple[str, ...] = ()  # the accepted ones, in the order of a form
    required: bool = True  # a missing value is refused, and the column itself may not be left out
    default: str | float | bool | None = None  # what a form starts with; never filled in for a missing value
    description: str = ""
    lowest: float | None = None  # the least value of the training rows
    highest: float | None = None  # the greatest value of the training rows
    unseen: tuple[str, ...] = ()  # categories that the training rows did not hold
    takes: str = ""  # of the kind "unfit": what the column takes, of which no value can be given here

    @property
    def refusal(self) -> str | None:
        """Why no value of it can be given, as the end of a sentence about the column; None where one can."""
        return f"takes {self.takes}, which cannot be given here" if self.kind == "unfit" else None


@dataclass(frozen=True)
class InputSchema:
    """The columns that a version takes."""

    columns: tuple[ColumnSchema, ...]  # in the order in which the model was given them
    source: Source  # what they were read from

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def required(self) -> tuple[str, ...]:
        """The columns that must be there; any other one may be left out and is then missing in every row."""
        return tuple(column.name for column in self.columns if column.required)

    @property
    def refusals(self) -> tuple[str, ...]:
        """A sentence for each column of which no value can be given."""
        return tuple(f"{visible(column.name)}: {column.refusal}" for column in self.columns if column.refusal)

    def column(self, name: str) -> ColumnSchema | None:
        return next((column for column in self.columns if column.name == name), None)


def schema_of(schema: FeatureSchema, signature: Mapping[str, Any] | None) -> InputSchema | None:
    """The columns by the feature schema and MLmodel's signature; None where neither names a column.

    A signature adds the exact number type of a column, and columns that the schema leaves out.
    Raises InvalidInput for more than 2,000 columns.
    """
    signed = {column.name: column for column in _signed(signature)}
    described = {name: _described(name, column, signed.get(name)) for name, column in schema.described.items()}
    columns = tuple(
        {**described, **{name: column for name, column in signed.items() if name not in described}}.values()
    )
    if len(columns) > MOST_COLUMNS:
        raise InvalidInput(f"the model: has {len(columns):,} columns; at most {MOST_COLUMNS:,} can be used here")
    return InputSchema(columns, "feature schema" if described else "signature") if columns else None


def refusals_of(schema: FeatureSchema, signature: Mapping[str, Any] | None) -> tuple[str, ...]:
    """A sentence for each column of which no value can be given here, found without asking the model."""
    try:
        found = schema_of(schema, signature)
    except InvalidInput as error:
        return (str(error),)
    return found.refusals if found else ()


def shown_json(evidence: Evidence) -> dict[str, Any]:
    """One version as JSON, as every door shows it: its evidence, the digest of that, and what cannot be given."""
    refusals = refusals_of(evidence.feature_schema, evidence.content["signature"])
    return {**evidence.content, "evidence": evidence.digest, "cannot_be_given": list(refusals)}


def schema_of_model(description: Mapping[str, Any]) -> InputSchema | None:
    """The columns by the worker's `describe`: its input example, else the names that the model was fitted with."""
    example = entry_of(description, "example")
    if example:
        columns = tuple(_shown(name, values) for name, values in example.items() if isinstance(values, list))
        return InputSchema(columns, "input example")
    names = description.get("columns")
    columns = tuple(ColumnSchema(str(name), "any") for name in names) if isinstance(names, list) else ()
    return InputSchema(columns, "model") if columns else None


def started_with(schema: InputSchema, example: Mapping[str, Any]) -> InputSchema:
    """The schema with the example's first row as defaults of columns that have none: a signature tells none.

    Numbers with six digits: they are a start to type over, not a value to keep.
    """
    shown = {name: _shown(name, values).default for name, values in example.items() if isinstance(values, list)}
    starts = {name: float(f"{value:.6g}") if isinstance(value, float) else value for name, value in shown.items()}
    columns = (replace(column, default=starts[column.name])
               if column.default is None and column.name in starts else column
               for column in schema.columns)  # fmt: skip
    return replace(schema, columns=tuple(columns))


def _described(name: str, column: DescribedColumn, signed: ColumnSchema | None) -> ColumnSchema:
    """One column of the feature schema, with the exact number type of its signature where there is one."""
    found = replace(signed or ColumnSchema(name, "any"), unit=column.unit, description=column.description)
    if column.type == "number":
        return replace(
            found,
            kind="integer" if found.kind == "integer" else "number",
            dtype=found.dtype if found.kind in {"integer", "number"} else "float64",
            minimum=column.minimum,
            maximum=column.maximum,
            default=number(column.default),
            lowest=column.lowest,
            highest=column.highest,
        )
    if column.type == "category" and column.categories:
        known = tuple(str(each) for each in column.categories)
        return replace(
            found,
            kind="category",
            dtype="str",
            categories=known,
            default=(column.default if isinstance(column.default, str) else "") or known[0],
            unseen=tuple(each for each in known if column.counts.get(each) == 0),
        )
    return found


def _signed(signature: Mapping[str, Any] | None) -> Iterator[ColumnSchema]:
    """The columns of a signature; those without a name are "0", "1" and so on."""
    columns = (signature or {}).get("inputs")
    if not isinstance(columns, list) or _is_list_of_numbers(columns):
        return
    for position, column in enumerate(columns):
        if not isinstance(column, dict):
            continue
        if column.get("type") == "tensor":
            yield from _array(column)
        else:
            yield _typed(str(column.get("name", position)), column)


def _is_list_of_numbers(columns: Sequence[Any]) -> bool:
    """Whether the input is one array without a name: each row is a list, whose length only the example shows."""
    column = columns[0] if len(columns) == 1 and isinstance(columns[0], dict) else {}
    return column.get("type") == "array" and "name" not in column and entry_of(column, "items").get("type") in SIGNATURE


def _typed(name: str, column: Mapping[str, Any]) -> ColumnSchema:
    word, required = str(column.get("type")), column.get("required") is not False
    if word in UNFIT:
        return ColumnSchema(name, "unfit", required=required, takes=UNFIT[word])
    kind, dtype = SIGNATURE.get(word, ("any", ""))
    return ColumnSchema(name, kind, dtype, required=required)


def _array(column: Mapping[str, Any]) -> Iterator[ColumnSchema]:
    """A column per number of a row; an array with more dimensions than rows and columns is one unfit column."""
    tensor = entry_of(column, "tensor-spec")
    shape, dtype = tensor.get("shape"), str(tensor.get("dtype"))
    kind: Kind = "number" if dtype.startswith("float") else "integer" if dtype.startswith("int") else "any"
    dtype = dtype if kind != "any" else ""
    sizes = [each for each in shape if isinstance(each, int)] if isinstance(shape, list) else []
    one_per_row = sizes[1:] in ([], [1])
    if len(sizes) > MATRIX or ("name" in column and not one_per_row):
        takes = f"an array of shape ({', '.join(map(str, sizes[:6]))})"
        yield ColumnSchema(str(column.get("name", "0")), "unfit", takes=takes)
    elif "name" in column:
        yield ColumnSchema(str(column["name"]), kind, dtype)
    elif len(sizes) == MATRIX:
        yield from (ColumnSchema(str(position), kind, dtype) for position in range(min(sizes[1], MOST_COLUMNS + 1)))


def _shown(name: str, values: Sequence[object]) -> ColumnSchema:
    """The schema of a column of which only example values are known: little, because they may be one row."""
    known = [value for value in values if value is not None]
    default = known[0] if known and isinstance(known[0], str | int | float) else None
    if known and all(isinstance(value, bool) for value in known):
        return ColumnSchema(name, "boolean", "bool", default=default)
    if known and all(isinstance(value, int | float) for value in known):
        # 31 in an example says nothing about 31.5 in a row.
        return ColumnSchema(name, "number", "float64", default=default)
    if known and all(isinstance(value, str) for value in known):
        return ColumnSchema(name, "text", "str", default=default)
    return ColumnSchema(name, "any", default=default)
