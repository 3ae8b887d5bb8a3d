"""Predictions, explanations and scored files, as the verbs print them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.cli.printing import digits, line, signed, table

if TYPE_CHECKING:
    from pipeline.serving.batch.scored import Scored
    from pipeline.serving.predictions import Explanations, Predictions


def prediction(found: "Predictions") -> None:
    row = found.rows[0]
    if isinstance(row.value, Mapping):
        line(f"{found.model} version {found.version} predicts")
        table(["Column", "Prediction"], [[name, value] for name, value in row.value.items()])
    else:
        line(f"{found.model} version {found.version} predicts {row.value}")
    chances = sorted(row.probabilities.items(), key=lambda each: -each[1])
    if chances:
        table(["Class", "Probability"], [[name, digits(chance)] for name, chance in chances])
    for warning in (*found.notes, *row.warnings):
        line(f"Warning: {warning}")
    line(f"digest {found.digest}")


def explanation(found: "Explanations") -> None:
    document, row, top = found.documents[0], found.rows[0], found.top_class()
    effects = sorted(document["contributions"][top].items(), key=lambda each: -abs(each[1]))
    line(f"{found.model} version {found.version}, {top}: {digits(document['output'][top])} ({document['scale']})")
    for sentence in found.sentences():
        line(sentence)
    table(["Column", "Value", "Adds"], [[name, row.get(name), signed(effect)] for name, effect in effects])
    start, error = digits(document["base_values"][top]), document["sum_error"]
    says = "adds up to within" if found.adds_up else f"DOES NOT ADD UP, {found.tolerance:.0e} is allowed: misses by"
    line(f"Starts from {start}; {document['method']}; {says} {error:.1g}")
    fallback = f"Sampled, because {found.fallback}." if found.fallback else ""
    for note in filter(None, (fallback, found.background, *found.notes)):
        line(note)


def scored(found: "Sequence[Scored]") -> None:
    for each in found:
        line(f"{each.scored:,} of {each.rows:,} rows scored by version {each.version} of {each.model}: {each.output}")
        if each.bad:
            line(f"Refused rows: {each.bad:,}, in {each.bad_file}; the first: {each.first_problem}")
        if each.odd:
            line(f"Rows with values outside the training data: {each.odd:,}")
        if each.ignored:
            line(f"Columns that the model does not take: {', '.join(each.ignored)}")
    for note in dict.fromkeys(note for each in found for note in each.notes):
        line(f"Warning: {note}")
