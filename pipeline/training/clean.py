"""Training rows against the feature schema: unusable ones are refused by a sentence, others repaired and reported."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pipeline.governance.errors import InvalidInput
from pipeline.governance.record.documents import parse_feature_schema
from pipeline.settings.schema import CategoryColumn, NumberColumn, SchemaSettings
from pipeline.validation.ranges import accepted_range
from pipeline.validation.schema import ColumnSchema, InputSchema, schema_of

Report = dict[str, Any]
MOST_UNKNOWN_VALUES = 20


def clean_rows(frame: pd.DataFrame, schema: SchemaSettings) -> tuple[pd.DataFrame, Report]:
    """The usable rows in the schema's columns and types, and what was found, dropped, clipped and replaced.

    Raises InvalidInput for a missing column, or one whose values are of another kind.
    """
    wanted = [*schema.columns, schema.target.name]
    _require_columns(frame, wanted)
    labelled, dropped = _with_valid_target(frame[wanted], schema)
    columns: dict[str, Report] = {}
    repaired = labelled.copy()
    for column in accepted_columns(schema).columns:
        repair = _repair_number if column.kind == "number" else _repair_category
        repaired[column.name], found = repair(labelled[column.name], column)
        if found:
            columns[column.name] = found
    unique = repaired.drop_duplicates(ignore_index=True)
    dropped["duplicates"] = len(repaired) - len(unique)
    report = {
        "rows_read": len(frame),
        "rows_used": len(unique),
        "dropped": dropped,
        "extra_columns": [str(name) for name in frame.columns if name not in wanted],
        "columns": columns,
    }
    return unique, report


def _require_columns(frame: pd.DataFrame, wanted: list[str]) -> None:
    missing = [name for name in wanted if name not in frame.columns]
    if missing:
        found = ", ".join(str(name) for name in frame.columns[:MOST_UNKNOWN_VALUES])
        raise InvalidInput(f"column {missing[0]}: is missing; found {found}; allowed are {', '.join(wanted)}")


def _with_valid_target(frame: pd.DataFrame, schema: SchemaSettings) -> tuple[pd.DataFrame, dict[str, int]]:
    target = frame[schema.target.name]
    valid = target.isin(schema.target.classes)
    if not valid.any():
        found = ", ".join(_examples(target)) or "no values"
        allowed = ", ".join(schema.target.classes)
        raise InvalidInput(
            f"column {schema.target.name}: no row has a known class; found {found}; allowed are {allowed}"
        )
    dropped = {"missing_target": int(target.isna().sum()), "unknown_target": int((~valid & target.notna()).sum())}
    return frame[valid].astype({schema.target.name: "str"}), dropped


def accepted_columns(schema: SchemaSettings) -> InputSchema:
    """What each column accepts, as a form, a file of rows or HTTP will read it from the version."""
    found = schema_of(parse_feature_schema({"columns": _columns_document(schema)}), None)
    assert found is not None  # noqa: S101 (the settings require a column)
    return found


def _columns_document(schema: SchemaSettings) -> dict[str, Report]:
    return {name: column.model_dump(mode="json") for name, column in schema.columns.items()}


def _repair_number(values: pd.Series, column: ColumnSchema) -> tuple[pd.Series, Report]:
    lowest, highest = accepted_range(column)
    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    text = values[numbers.isna() & values.notna()]
    if not text.empty:
        allowed = f"numbers from {lowest:g} to {highest:g}"
        raise InvalidInput(f"column {values.name}: found {text.iloc[0]!r} in {len(text)} rows; allowed are {allowed}")
    below, above = numbers < lowest, numbers > highest
    counts = {
        "below_minimum": int(below.sum()),
        "above_maximum": int(above.sum()),
        "missing": int(numbers.isna().sum()),
    }
    found: Report = {name: count for name, count in counts.items() if count}
    if found:
        found |= {"minimum": lowest, "maximum": highest, "default": column.default}
    return numbers.clip(lowest, highest).fillna(column.default), found


def _repair_category(values: pd.Series, column: ColumnSchema) -> tuple[pd.Series, Report]:
    known = values.isin(column.categories)
    unknown = values[~known & values.notna()]
    if not unknown.empty and not known.any():
        allowed = ", ".join(column.categories)
        raise InvalidInput(f"column {values.name}: found only {', '.join(_examples(unknown))}; allowed are {allowed}")
    found: Report = {}
    if not unknown.empty:
        counts: Mapping[Any, int] = unknown.astype("str").value_counts().head(MOST_UNKNOWN_VALUES).to_dict()
        found["unknown"] = {str(value): int(count) for value, count in counts.items()}
    if values.isna().any():
        found["missing"] = int(values.isna().sum())
    if found:
        found["default"] = column.default
    return values.where(known, column.default).astype("str"), found


def _examples(values: pd.Series) -> list[str]:
    return [repr(value) for value in values.dropna().unique()[:3].tolist()]


def feature_schema(schema: SchemaSettings, train: pd.DataFrame) -> Report:
    """The document `feature_schema.json`: the settings, and per column what the training rows hold."""
    target = schema.target
    return {
        "target": {"name": target.name, "description": target.description, "classes": target.classes},
        "columns": {
            name: {**document, "training": _training_facts(train[name], schema.columns[name])}
            for name, document in _columns_document(schema).items()
        },
    }


def _training_facts(values: pd.Series, column: NumberColumn | CategoryColumn) -> Report:
    if isinstance(column, NumberColumn):
        return {"minimum": float(values.min()), "maximum": float(values.max()), "median": float(values.median())}
    counts = values.value_counts()
    return {"counts": {category: int(counts.get(category, 0)) for category in column.categories}}
