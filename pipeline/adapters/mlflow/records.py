"""What all ways of reading a registry share: the reader's shape, and how raw values become records and gaps."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from pipeline.governance.errors import NotFound
from pipeline.governance.lifecycle import ModelState, Stage
from pipeline.governance.ports import Gap, ModelRecord, VersionRecord, VersionRow

PROMPT_TAG = "mlflow.prompt.is_prompt"
REGISTRY_ID_TAG = "signoff.registry_id"
USER_TAG = "mlflow.user"
# MLflow stores an infinity as the largest finite double, so that value itself counts as not finite.
LARGEST = 1.7976931348623157e308
# What a version number can be in MLflow's integer column.
HIGHEST_VERSION = 2**31 - 1
LOGGED_MODEL = re.compile(r"models:/(m-[0-9a-f]{32})/?")
RUN_FOLDER = re.compile(r"runs:/([^/?#]+)(?:/([^?#]*))?", re.DOTALL)
OTHER_VERSION = re.compile(r"models:/(.+)/(\d+)/?", re.DOTALL)
MOST_HOPS = 5
# A registry that knows no stages leaves the word out.
STAGES = {stage.value: stage for stage in Stage}


@dataclass(frozen=True)
class Origin:
    """Where a version says it comes from, and where its files lie."""

    source: str
    # May still be a `models:` address, which has to be followed.
    location: str


@dataclass(frozen=True)
class RunFacts:
    """What the registry knows about the run that made a version."""

    # "none" where the version names no run, else "missing", "deleted" or "active".
    state: str
    # Empty where nobody is named.
    user: str = ""
    # As stored; None stands for NaN.
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)


class Reader(Protocol):
    """One way to read a registry; every way gives equal records."""

    def models(self) -> list[ModelRecord]: ...

    def model(self, name: str) -> ModelRecord: ...

    def state(self, model: str) -> ModelState: ...

    def table(self, model: str, metrics: Sequence[str] | None) -> list[VersionRow]: ...

    def version(self, model: str, version: int) -> VersionRecord: ...

    def origin(self, model: str, version: int) -> Origin: ...

    def model_location(self, model_id: str) -> str:
        """Where a logged model's files lie. Raises NotFound."""

    def run_location(self, run_id: str) -> str:
        """Where a run's files lie, also those of a deleted one. Raises NotFound."""

    def registry_id(self, experiment: str) -> str | None: ...


class NothingYet:
    """Reads a store that was not created yet: an empty registry."""

    def models(self) -> list[ModelRecord]:
        return []

    def model(self, name: str) -> ModelRecord:
        raise no_model(name)

    def state(self, model: str) -> ModelState:
        raise no_model(model)

    def table(self, model: str, metrics: Sequence[str] | None) -> list[VersionRow]:  # noqa: ARG002
        raise no_model(model)

    def version(self, model: str, version: int) -> VersionRecord:  # noqa: ARG002
        raise no_model(model)

    def origin(self, model: str, version: int) -> Origin:  # noqa: ARG002
        raise no_model(model)

    def model_location(self, model_id: str) -> str:
        raise no_owner(f"logged model {model_id!r}")

    def run_location(self, run_id: str) -> str:
        raise no_owner(f"run {run_id!r}")

    def registry_id(self, experiment: str) -> str | None:  # noqa: ARG002
        return None


def no_model(name: str) -> NotFound:
    return NotFound(f"The registry has no model {name!r}.")


def no_version(model: str, version: int) -> NotFound:
    return NotFound(f"The registry has no version {version} of model {model!r}.")


def no_owner(owner: str) -> NotFound:
    return NotFound(f"The registry has no {owner}.")


def check_version(model: str, version: int) -> None:
    """Raises NotFound for a number that no database column holds: it would crash the driver."""
    if not 1 <= version <= HIGHEST_VERSION:
        raise no_version(model, version)


def stage_of(text: str | None) -> Stage:
    return STAGES.get(text or "None", Stage.NONE)


def time_of(milliseconds: int | None) -> datetime:
    return datetime.fromtimestamp((milliseconds or 0) / 1000, UTC)


def is_finite(value: float | None) -> bool:
    """False for NaN, too: no comparison with it holds."""
    return value is not None and -LARGEST < value < LARGEST


def finite_metrics(metrics: Iterable[tuple[str, float | None]]) -> dict[str, float]:
    return {key: value for key, value in metrics if value is not None and -LARGEST < value < LARGEST}


def user_of(*claims: str | None) -> str:
    """The first name that says anything: MLflow leaves these empty or writes "unknown", and checks none."""
    return next((claim for claim in claims if claim and claim != "unknown"), "")


def gaps_of(row: VersionRow, run: RunFacts, metrics: Mapping[str, float | None]) -> tuple[Gap, ...]:
    """What the registry no longer has, or not yet, in the order in which a reader asks. metrics: those that count."""
    own = bool(metrics or row.params) and run.state in {"none", "missing"}
    return (*_status_gaps(row.status), *_run_gaps(row.run_id, run, own=own), *metric_gaps(metrics))


def _status_gaps(status: str) -> list[Gap]:
    if status == "PENDING_REGISTRATION":
        return [Gap("status_pending", "The registration of this version has not finished.")]
    if status == "FAILED_REGISTRATION":
        return [Gap("status_failed", "The registration of this version failed.")]
    return []


def _run_gaps(run_id: str | None, run: RunFacts, *, own: bool) -> list[Gap]:
    """What is missing of the run. own: the version's logged model has metrics or parameters without the run."""
    if run.state == "none":
        without = "" if own else ", so it has no metrics and no parameters"
        return [Gap("no_run", f"This version names no run{without}.")]
    if run.state == "missing":
        lost = "" if own else ", so its metrics and parameters are lost"
        return [Gap("run_missing", f"The run {run_id} is not in the registry{lost}.")]
    if run.state == "deleted":
        return [Gap("run_deleted", f"The run {run_id} was deleted; what it logged can still be read.")]
    return []


def metric_gaps(metrics: Mapping[str, float | None]) -> list[Gap]:
    text = "The metric {} is not a finite number."
    return [
        Gap(f"metric_not_finite:{name}", text.format(name))
        for name, value in sorted(metrics.items())
        if not is_finite(value)
    ]


def follow(reader: Reader, source: str) -> str | None:
    """The id of the logged model behind a version, through versions copied from others; None where there is none."""
    for _ in range(MOST_HOPS):
        if found := LOGGED_MODEL.fullmatch(source):
            return found[1]
        if not (other := OTHER_VERSION.fullmatch(source)):
            return None
        try:
            source = reader.origin(other[1], int(other[2])).source
        except NotFound:
            return None
    return None
