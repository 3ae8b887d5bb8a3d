"""Which columns a version takes and what each may hold: from its feature schema, else its signature, else its example.

All three come from strangers: whatever is not of the expected shape counts as not said.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pipeline.governance.errors import InvalidInput
from pipeline.governance.evidence import entry_of, number

Kind = Literal["number", "integer", "category", "text", "boolean", "any"]
Source = Literal["feature schema", "signature", "input example", "model"]
MOST_COLUMNS = 2_000
MOST_TENSOR_COLUMNS = 2  # dimensions: rows and columns
# MLflow's words for types, and what a column of rows must be to pass its own check of them.
SIGNATURE: dict[str, tuple[Kind, str]] = {
    "double": ("number", "float64"),
    "float": ("number", "float32"),
    "long": ("integer", "int64"),
    "integer": ("integer", "int32"),
    "string": ("text", "str"),
    "boolean": ("boolean", "bool"),
}


@dataclass(frozen=True)
class ColumnRule:
    """What one column may hold. dtype: pandas' name, empty where nobody says.

    minimum, maximum: allowed themselves; None is no bound. categories: in the order of a form.
    required: whether a missing value is refused. lowest, highest: what the training rows held; unseen: categories that
    they did not hold. default: what a form starts with; never filled in for a missing value.
    """

    name: str
    kind: Kind
    dtype: str = ""
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[str, ...] = ()
    required: bool = True
    default: str | float | bool | None = None
    description: str = ""
    lowest: float | None = None
    highest: float | None = None
    unseen: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layout:
    """The columns in order, and where that was read."""

    columns: tuple[ColumnRule, ...]
    source: Source

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> ColumnRule | None:
        return next((column for column in self.columns if column.name == name), None)


def layout_of(schema: Mapping[str, Any], signature: Mapping[str, Any] | None) -> Layout | None:
    """From the document `feature_schema` and MLmodel's signature; None where neither names a column.

    A signature adds the exact number type of a column, and columns that the schema leaves out.
    Raises InvalidInput for more than 2,000 columns.
    """
    signed = {rule.name: rule for rule in _signed(signature)}
    described = {
        str(name): _described(str(name), column, signed.get(str(name)))
        for name, column in entry_of(schema, "columns").items()
        if isinstance(column, dict)
    }
    rules = tuple({**described, **{name: rule for name, rule in signed.items() if name not in described}}.values())
    if len(rules) > MOST_COLUMNS:
        raise InvalidInput(f"the model: has {len(rules):,} columns; at most {MOST_COLUMNS:,} can be used here")
    return Layout(rules, "feature schema" if described else "signature") if rules else None


def layout_of_model(description: Mapping[str, Any]) -> Layout | None:
    """From what the worker's `describe` tells: the input example, else the names that the model was fitted with."""
    example = entry_of(description, "example")
    if example:
        rules = tuple(_shown(name, values) for name, values in example.items() if isinstance(values, list))
        return Layout(rules, "input example")
    names = description.get("columns")
    rules = tuple(ColumnRule(str(name), "any") for name in names) if isinstance(names, list) else ()
    return Layout(rules, "model") if rules else None


def started_with(layout: Layout, example: Mapping[str, Any]) -> Layout:
    """With the example's first row as defaults, where nothing else gave one: a signature tells none.

    Numbers with six digits: they are a start to type over, not a value to keep.
    """
    starts = {name: _six_digits(_shown(name, values).default)
              for name, values in example.items() if isinstance(values, list)}  # fmt: skip
    held = (replace(rule, default=starts[rule.name]) if rule.default is None and rule.name in starts else rule
            for rule in layout.columns)  # fmt: skip
    return replace(layout, columns=tuple(held))


def _six_digits(value: str | float | bool | None) -> str | float | bool | None:
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _described(name: str, column: Mapping[str, Any], signed: ColumnRule | None) -> ColumnRule:
    """One column of the feature schema."""
    rule = signed or ColumnRule(name, "any")
    rule = replace(rule, unit=_text(column.get("unit")), description=_text(column.get("description")))
    training = entry_of(column, "training")
    if column.get("type") == "number":
        return replace(
            rule,
            kind="integer" if rule.kind == "integer" else "number",
            dtype=rule.dtype if rule.kind in {"integer", "number"} else "float64",
            minimum=number(column.get("minimum")),
            maximum=number(column.get("maximum")),
            default=number(column.get("default")),
            lowest=number(training.get("minimum")),
            highest=number(training.get("maximum")),
        )
    categories = column.get("categories")
    if column.get("type") == "category" and isinstance(categories, list) and categories:
        counts, known = entry_of(training, "counts"), tuple(str(each) for each in categories)
        return replace(
            rule,
            kind="category",
            dtype="str",
            categories=known,
            default=_text(column.get("default")) or known[0],
            unseen=tuple(each for each in known if counts and counts.get(each) == 0),
        )
    return rule


def _signed(signature: Mapping[str, Any] | None) -> Iterator[ColumnRule]:
    """The columns of a signature; an array of numbers has columns "0", "1" and so on."""
    columns = (signature or {}).get("inputs")
    for column in columns if isinstance(columns, list) else []:
        if not isinstance(column, dict):
            continue
        if column.get("type") == "tensor":
            yield from _array(column)
        elif "name" in column:
            kind, dtype = SIGNATURE.get(str(column.get("type")), ("any", ""))
            yield ColumnRule(str(column["name"]), kind, dtype, required=column.get("required") is not False)


def _array(column: Mapping[str, Any]) -> Iterator[ColumnRule]:
    tensor = entry_of(column, "tensor-spec")
    shape, dtype = tensor.get("shape"), _text(tensor.get("dtype"))
    kind: Kind = "number" if dtype.startswith("float") else "integer" if dtype.startswith("int") else "any"
    dtype = dtype if kind != "any" else ""
    if "name" in column:
        yield ColumnRule(str(column["name"]), kind, dtype)
    elif isinstance(shape, list) and len(shape) == MOST_TENSOR_COLUMNS and isinstance(shape[1], int):
        yield from (ColumnRule(str(position), kind, dtype) for position in range(min(shape[1], MOST_COLUMNS + 1)))


def _shown(name: str, values: Sequence[object]) -> ColumnRule:
    """What an example lets one say about a column: little, because it may be one row."""
    known = [value for value in values if value is not None]
    default = known[0] if known and isinstance(known[0], str | int | float) else None
    if known and all(isinstance(value, bool) for value in known):
        return ColumnRule(name, "boolean", "bool", default=default)
    if known and all(isinstance(value, int | float) for value in known):
        # 31 in an example says nothing about 31.5 in a row.
        return ColumnRule(name, "number", "float64", default=default)
    if known and all(isinstance(value, str) for value in known):
        return ColumnRule(name, "text", "str", default=default)
    return ColumnRule(name, "any", default=default)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
