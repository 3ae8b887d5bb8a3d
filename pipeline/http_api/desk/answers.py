"""The answers of the desk as pydantic models, from which its OpenAPI document is derived.

They describe the JSON of the command line: the values are those that the same functions make, and are not built anew.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from pipeline.http_api.answers import ProblemDetails, without_default

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Anything = Any  # JSON that came with a version, of whatever shape


class DeskAnswer(BaseModel):
    """Has the fields that are listed, and no others."""

    model_config = ConfigDict(extra="forbid")


class DeskModel(DeskAnswer):
    """A registered model."""

    name: str = Field(description="Name of the model.")
    description: str = Field(description="The registry's text about it; may be empty.")
    versions: int = Field(description="How many versions it has.")
    champion: int | None = Field(description="Number of the version that serves; null where none does.")
    latest: int | None = Field(description="Number of the newest version; null where there is none.")
    not_approved_here: str | None = Field(
        description="Why nobody has approved at this desk what serves; null where somebody did, or need not."
    )


class DeskVersion(DeskAnswer):
    """A version in a list."""

    model: str = Field(description="Name of the model.")
    version: int = Field(description="Number of the version.")
    stage: str = Field(description="None, Staging, Production or Archived.")
    aliases: list[str] = Field(description="Names of the aliases on it.")
    status: str = Field(description="How far the registry is with registering it, such as READY.")
    metrics: dict[str, float] = Field(description="Metrics by name; those that are not finite are left out.")
    params: dict[str, str] = Field(description="Parameters of the run by name.")
    tags: dict[str, str] = Field(description="Tags by name.")
    run_id: str | None = Field(description="The run that logged it; null where the registry names none.")
    created_at: Time = Field(description="When it was registered, in ISO 8601 and UTC.")
    description: str = Field(description="The registry's text about it; may be empty.")


class ShownFile(DeskAnswer):
    """A file of a version."""

    path: str = Field(description="Path inside the model's folder.")
    size: int = Field(description="Size in bytes.")
    sha256: str = Field(description="sha256 of the content, in hexadecimal.")


class ShownGap(DeskAnswer):
    """Something that the registry lacks or that cannot be read."""

    name: str = Field(description="A short name of what is missing.")
    text: str = Field(description="One sentence about it.")


class ShownVersion(DeskAnswer):
    """One version as a reviewer is shown it: its evidence."""

    model: str = Field(description="Name of the model.")
    version: int = Field(description="Number of the version.")
    model_id: str | None = Field(description="MLflow's id of the logged model; null where it has none.")
    created_at: Time = Field(description="When it was registered, in ISO 8601 and UTC.")
    registered_by: str = Field(description="The login that MLflow holds, which is anybody's word; may be empty.")
    run_id: str | None = Field(description="The run that logged it; null where the registry names none.")
    source: str = Field(description="Where the registry says its files are.")
    status: str = Field(description="How far the registry is with registering it, such as READY.")
    status_message: str = Field(description="The registry's words about the status; may be empty.")
    stage: str = Field(description="None, Staging, Production or Archived.")
    aliases: list[str] = Field(description="Names of the aliases on it.")
    description: str = Field(description="The registry's text about it; may be empty.")
    tags: dict[str, str] = Field(description="Tags by name, without those that the desk mirrors.")
    params: dict[str, str] = Field(description="Parameters by name.")
    metrics: dict[str, float | None] = Field(description="Metrics by name; null where one is not finite.")
    ours: bool = Field(description="Whether the pipeline of this desk made it.")
    datasets: dict[str, str] | SkipJsonSchema[None] = Field(
        default=None,
        description="On which dataset a metric was logged, by metric; only where there are any.",
        json_schema_extra=without_default,
    )
    files: list[ShownFile] = Field(description="Every file of the version, by path.")
    file_digest: str | None = Field(description="sha256 over all files; null where they are gone.")
    flavors: list[str] = Field(description="MLflow's flavors of the model.")
    signature: Anything = Field(description="Its MLflow signature; null where it has none.")
    has_input_example: bool = Field(description="Whether an input example came with it.")
    evaluation: Anything = Field(description="Metrics with intervals, as its evaluation file has them; else null.")
    feature_schema: Anything = Field(description="The columns that it takes, as their own file has them; else null.")
    lineage: Anything = Field(description="Data, code and environment that it was made from; else null.")
    data_report: Anything = Field(description="What was found in its data; else null.")
    explanation: Anything = Field(description="The summary of its explanations; else null.")
    gaps: list[ShownGap] = Field(description="What is missing.")
    evidence: Sha256 = Field(description="The digest of all this but the next field: what a decision quotes.")
    cannot_be_given: list[str] = Field(description="A sentence for each column of which no value can be given here.")


class GateAnswer(DeskAnswer):
    """One gate of a move."""

    name: str = Field(description="Name of the gate, as in params.yaml.")
    observed: Anything = Field(description="What was observed.")
    required: str = Field(description="What is required, in words.")
    passed: bool = Field(description="Whether it passed.")
    mode: str = Field(description="What a failure does: prevent, warn or allow.")
    why: str = Field(description="Why it passed or not, in a sentence.")


class ClaimAnswer(DeskAnswer):
    """A metric that a version claims, beside what its own bytes give."""

    name: str = Field(description="Name of the metric.")
    source: str = Field(description="Who claims it: evaluation (the version's file) or run (MLflow).")
    claimed: float = Field(description="The value that is claimed.")
    recomputed: float = Field(description="The value that was measured now.")
    holds: bool = Field(description="Whether the two are equal within 1e-9.")


class RecomputationAnswer(DeskAnswer):
    """What the claims of a version are worth."""

    n: int = Field(description="Rows that were scored.")
    changed_rows: int = Field(description="Rows of which the stored prediction is not what the version predicts.")
    compiled: str = Field(
        description="Whether its compiled form would answer single rows, or why not; empty where nobody looked."
    )
    holds: bool = Field(description="Whether every claim holds.")
    claims: list[ClaimAnswer] = Field(description="Every claim that could be measured again.")


class ReviewAnswer(DeskAnswer):
    """The gates of a move, and whether it is open."""

    to: str = Field(description="The target, a stage or @ALIAS.")
    open: bool = Field(description="Whether the move may be made: no gate blocks it.")
    evidence: Sha256 = Field(description="Digest of the evidence; a decision takes it back as `evidence`.")
    state: str = Field(description="What the move would change, as it is now; a decision takes it back as `expect`.")
    gates: list[GateAnswer] = Field(description="Every gate of the move.")
    approvals: int | SkipJsonSchema[None] = Field(
        default=None,
        description="How many others have to approve; only where the move asks for it.",
        json_schema_extra=without_default,
    )
    attestations: dict[str, str] | SkipJsonSchema[None] = Field(
        default=None,
        description="Sentences that each approver confirms, by key; only with `approvals`.",
        json_schema_extra=without_default,
    )
    recomputed: RecomputationAnswer | SkipJsonSchema[None] = Field(
        default=None, description="Only where claims were recomputed.", json_schema_extra=without_default
    )


class ComparedMetric(DeskAnswer):
    """One metric of two versions."""

    name: str = Field(description="Name of the metric, class or slice.")
    a: float | None = Field(description="The value of version a; null where it has none.")
    b: float | None = Field(description="The value of version b; null where it has none.")
    difference: float | None = Field(description="b minus a; null where one is missing.")
    interval: list[float] | None = Field(description="Ends of the difference's interval, on the same rows; else null.")
    verdict: str | None = Field(description="Of b: better, worse or not distinguishable; null where nobody can tell.")


class ComparedRows(ComparedMetric):
    """One metric of two versions, on some rows."""

    n: int | None = Field(description="How many rows.")


class ComparedPair(DeskAnswer):
    """One thing that is another in two versions."""

    name: str = Field(description="Name of the thing.")
    a: Anything = Field(description="What version a has; null where it has none.")
    b: Anything = Field(description="What version b has; null where it has none.")


class ComparedParts(DeskAnswer):
    """What differs between two versions."""

    different: list[ComparedPair] = Field(description="What differs, by name.")
    equal: int = Field(description="How many things are equal.")


class AgreementAnswer(DeskAnswer):
    """How often two versions were right on the same rows."""

    n: int = Field(description="Rows.")
    both_right: int = Field(description="Rows on which both were right.")
    only_a_right: int = Field(description="Rows on which only version a was right.")
    only_b_right: int = Field(description="Rows on which only version b was right.")
    both_wrong_alike: int = Field(description="Rows on which both gave the same wrong answer.")
    both_wrong_differently: int = Field(description="Rows on which both were wrong in different ways.")
    flipped: int = Field(description="Rows that the two predict differently.")
    p_value: float = Field(description="Of McNemar's exact test of the accuracy.")


class ComparedOnRows(DeskAnswer):
    """The comparison on the stored evaluation rows."""

    same: bool = Field(description="Whether both were evaluated on the same rows.")
    warning: ShownGap | None = Field(description="Why the metrics carry no verdict; null where they do.")
    agreement: AgreementAnswer | None = Field(description="Null for models that predict numbers, or other rows.")
    classes: list[ComparedRows] = Field(description="Recall of each class.")
    slices: list[ComparedRows] = Field(description="Accuracy, of numbers the mean absolute error, of each slice.")


class ComparedData(ComparedParts):
    """What differs in the data, and what was measured on the rows."""

    environment: ComparedParts = Field(description="What differs in the environments.")
    rows: ComparedOnRows = Field(description="What was measured on the stored evaluation rows.")


class CompareAnswer(DeskAnswer):
    """Two versions side by side."""

    metrics: list[ComparedMetric] = Field(description="Every metric of either version.")
    params: ComparedParts = Field(description="Parameters.")
    tags: ComparedParts = Field(description="Tags.")
    schema_: ComparedParts = Field(alias="schema", description="Feature schema and signature.")
    data: ComparedData = Field(description="Data, environment and rows.")


class SlotAnswer(DeskAnswer):
    """What an event says of one slot."""

    kind: str = Field(description="alias or stage.")
    name: str = Field(description="Name of the alias, or number of the version.")
    expected: str | None = Field(description="What was there before: a version, a stage, or null.")
    to: str | None = Field(description="What it was changed to; null takes an alias away.")
    observed: str | None = Field(description="What was seen in the registry; null where nothing was.")


class HistoryEvent(DeskAnswer):
    """One event of the ledger."""

    sequence: int = Field(description="Its number.")
    number: int = Field(description="The number of its decision; else its own.")
    type: str = Field(description="What happened, such as applied or denied.")
    at: Time | None = Field(description="When, in ISO 8601 and UTC; null where the event cannot be read.")
    actor: str | None = Field(description="Who acted; null where nobody did.")
    established: str | None = Field(description="How that was known, such as oidc, token or self_declared.")
    reason: str | None = Field(description="Why, in the words of who acted, or the text of a comment.")
    model: str = Field(description="Name of the model.")
    version: int | None = Field(description="The version that it is about; null where it is about none.")
    created_at: Time | None = Field(description="When that version was registered, as far as the event says so.")
    slot: str | None = Field(description="What `from` and `to` are about: @ALIAS or /VERSION.")
    from_: str | None = Field(alias="from", description="What was there before.")
    to: str | None = Field(description="What was there after.")
    evidence: str | None = Field(description="The digest of the evidence that was looked at.")
    changes: list[SlotAnswer] = Field(description="Every slot that it names.")


class HistoryMoment(DeskAnswer):
    """What the ledger says of a model at a time."""

    model: str = Field(description="Name of the model.")
    at: Time = Field(description="The time that was asked for.")
    champion: int | None = Field(description="The version that was champion; null where none was.")
    stages: dict[str, str] = Field(description="Stages other than None, by number of the version.")
    known: bool = Field(description="Whether the ledger knew the model at that time.")
    since: Time | None = Field(description="Since when it does; null where it does not.")
    created_at: Time | None = Field(description="When that champion was registered, where the ledger says so.")


class DecisionAnswer(DeskAnswer):
    """A decision that was applied."""

    decision: str = Field(description="Id of the decision.")
    sequence: int = Field(description="Its number in the history.")
    model: str = Field(description="Name of the model.")
    version: int | None = Field(description="The version that it is about.")
    to: str = Field(description="The target: a stage or @ALIAS.")
    changes: list[SlotAnswer] = Field(description="What was changed, as it was read back.")
    evidence: str | None = Field(description="Digest of the evidence that it rests on.")
    replayed: bool = Field(description="Whether an earlier request under the same key had made it.")
    notice: str | SkipJsonSchema[None] = Field(
        default=None, description="What else has to be known, where anything has.", json_schema_extra=without_default
    )


class ApprovalAnswer(DeskAnswer):
    """One signature under a request."""

    sequence: int = Field(description="Number of its event.")
    by: str | None = Field(description="Who signed.")
    established: str | None = Field(description="How that was known.")
    at: Time = Field(description="When, in ISO 8601 and UTC.")
    reason: str | None = Field(description="Why.")


class RequestAnswer(DeskAnswer):
    """A request for a move that needs the approval of others."""

    id: int = Field(description="Its number.")
    model: str = Field(description="Name of the model.")
    version: int | None = Field(description="The version that it is about; null where it is about none.")
    to: str = Field(description="The target: a stage or @ALIAS.")
    state: str = Field(description="open, approved, applied, not_applied, rejected, withdrawn or expired.")
    requested_by: str | None = Field(description="Who asked.")
    established: str | None = Field(description="How that was known.")
    requested_at: Time = Field(description="When, in ISO 8601 and UTC.")
    reason: str = Field(description="Why.")
    approvals: list[ApprovalAnswer] = Field(description="The signatures that it has.")
    counted: int = Field(description="How many of them still count.")
    needed: int = Field(description="How many it takes.")
    accepted_warnings: list[str] = Field(description="Gates of which who asked accepted the warning.")
    stale: list[str] = Field(description="What is another now than those who signed saw.")
    expires_at: Time = Field(description="Until when it can be approved.")
    evidence: str = Field(description="The digest that it is bound to; an approval takes it back.")
    expect: str = Field(description="The state that it is bound to; an approval takes it back.")


class ApprovedAnswer(RequestAnswer):
    """A request after an approval."""

    decision: DecisionAnswer | None = Field(description="What the last approval decided; null for one before it.")


class OutcomesAnswer(DeskAnswer):
    """What became of outcomes that were told."""

    recorded: int = Field(description="How many were not known.")
    corrected: int = Field(description="How many were known otherwise.")
    unchanged: int = Field(description="How many were known.")
    unknown: list[str] = Field(description="Ids of which the log has no row; nothing is kept of these.")


class DeskProblem(ProblemDetails):
    """A refusal by the desk (RFC 9457)."""

    notes: list[str] | SkipJsonSchema[None] = Field(
        default=None,
        description="Where the state has changed: who changed what, when and why.",
        json_schema_extra=without_default,
    )
