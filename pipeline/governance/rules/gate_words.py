"""What people read of a gate: its label, and one sentence that says what it is for."""

from collections.abc import Mapping, Sequence

from pipeline.governance.metrics import metric_label
from pipeline.governance.ports import MetricDifference
from pipeline.governance.text import called, signed

MOST_SLICES = 4  # named in a sentence, the worst first; Compare has them all

# What people read; the policy, the ledger and every other program have the name.
LABELS: Mapping[str, str] = {
    "changes_something": "Something changes",
    "slot_settled": "Record and registry agree",
    "files_unchanged": "Files unchanged since recorded",
    "move_listed": "Move is in the policy",
    "version_ready": "Version is ready",
    "files_present": "Files are there",
    "signature": "Signature",
    "feature_schema": "Feature schema",
    "accuracy": "Accuracy",
    "error": "Error",
    "better_than_baseline": "Better than the baseline",
    "stage_is_staging": "Reviewed in Staging",
    "not_champion": "Does not serve as champion",
    "not_worse_than_incumbent": "Not worse than the champion",
    "no_slice_worse": "No slice worse than the champion's",
    "explanation_adds_up": "Explanation accounts for the answer",
    "digest_recorded": "Files of the former champion",
    "smoke_prediction": "Trial prediction",
    "claims_recomputed": "Claims hold when recomputed",
    "no_open_finding": "Nothing to be looked at",
    "no_finding_elsewhere": "Nothing to be looked at in other versions",
}


# What a gate is for, to somebody who reads its label for the first time.
DESCRIPTIONS: Mapping[str, str] = {
    "changes_something": "The registry is not already the way the move would leave it.",
    "slot_settled": "Nobody has moved what this changes by another way, and no decision about it is unfinished.",
    "files_unchanged": "The model's files are byte for byte those that an earlier decision about the version recorded.",
    "move_listed": "The policy of this desk allows somebody to make this move.",
    "version_ready": "MLflow has finished registering the version.",
    "files_present": "The model's files can be read, so that the decision holds for exactly these files.",
    "signature": "The model says which columns it takes and what it answers.",
    "feature_schema": "The model says for each input column the unit and which values are usual.",
    "accuracy": "The share of right answers, on rows that were kept out of training, is high enough.",
    "error": "How far the answers are off, on rows that were kept out of training, is low enough.",
    "better_than_baseline": "The model is right more often than always answering the most frequent class would be.",
    "stage_is_staging": "The version has been through Staging, where it is reviewed before it may serve.",
    "not_champion": "The version does not answer requests now; what serves leaves only when another takes over.",
    "not_worse_than_incumbent": "On the same rows it is not worse than what serves, beyond what chance explains.",
    "no_slice_worse": "In no group of rows, such as an age band, is it worse than what serves, beyond chance.",
    "explanation_adds_up": "The effects of all columns together give the model's answer; nothing is left unexplained.",
    "digest_recorded": "The files to go back to are byte for byte those that served before.",
    "smoke_prediction": "The version was started in a process of its own and answered the example that came with it.",
    "no_open_finding": "What was noticed about the version in production, and is urgent, was looked at by somebody.",
    "no_finding_elsewhere": "What was noticed about another version in production may be true of this one too.",
    "claims_recomputed": "The figures that came with the version are those that its own files give when tried again.",
}


def label_of(name: str) -> str:
    """The label of a gate; of one that this version of Signoff does not know, its name."""
    return LABELS.get(name, name)


def worse_by(metric: str, found: MetricDifference) -> str:
    """By how much a metric is worse than the champion's. metric: as the policy has it."""
    by = f"{abs(found.difference):.4f} (95 % interval {signed(found.low)} to {signed(found.high)})"
    return f"{metric_label(metric)} is worse by {by}."


def worst_slices(worse: Sequence[MetricDifference], labels: Mapping[str, str]) -> str:
    """The first of some slices with difference and n: "Eats vegetables (FCVC) = 3 +0.0210, n = 61; and 2 more".

    labels: what people call the columns; a slice is `FCVC = 3` elsewhere.
    """
    listed = [
        f"{_called(each.slice, labels)} {signed(each.difference)}, n = {each.n:,}" for each in worse[:MOST_SLICES]
    ]
    more = len(worse) - len(listed)
    return "; ".join([*listed, *([f"and {more} more"] if more else [])])


def _called(text: str, labels: Mapping[str, str]) -> str:
    column, _, value = text.partition(" = ")
    return f"{called(column, labels)} = {value}" if column in labels else text


def description_of(name: str) -> str:
    """What a gate is for, in one sentence without our jargon; empty for one that is not known here."""
    return DESCRIPTIONS.get(name, "")
