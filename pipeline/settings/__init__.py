"""`params.yaml` and the environment, read once into one frozen value; unknown keys are refused with their path."""

import getpass
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, model_validator

from pipeline.governance.errors import InvalidInput
from pipeline.governance.metrics import MetricRules
from pipeline.settings.file import (
    CandidateName,
    Edges,
    ModelName,
    Sentences,
    SettingsSection,
    Share,
    Word,
    Words,
    read_params,
)
from pipeline.settings.policy import PolicySettings
from pipeline.settings.schema import SchemaSettings

ROOT = Path(__file__).resolve().parents[2]
VAR = ROOT / "var"
ESTIMATORS = Literal["logistic_regression", "random_forest", "extra_trees", "hist_gradient_boosting"]


class DataSettings(SettingsSection):
    """source: "sample" or the path of a CSV or Parquet file."""

    source: Word
    sample_rows: int = Field(ge=200)
    sample_seed: int


class SplitSettings(SettingsSection):
    """Stratified by class, after exact duplicates were dropped."""

    test_share: Share
    seed: int


class CandidateSettings(SettingsSection):
    """One training recipe; `parameters` are those of the scikit-learn estimator."""

    estimator: ESTIMATORS
    body_mass_index: bool = False
    parameters: dict[str, Any] = Field(default_factory=dict)


class EvaluationSettings(SettingsSection):
    """Intervals at `confidence`; slices by each categorical column and by bands of Age where there is such a column.

    lower_is_better, higher_is_better: names of metrics that do not say it by themselves. metric_names: by our name,
    those under which a gate looks for it, in order; see MetricRules.
    """

    primary_metric: Word
    confidence: Share
    bootstrap_samples: int = Field(ge=100)
    bootstrap_seed: int
    cross_validation_folds: int = Field(ge=2)
    age_bands: Edges = Field(min_length=2)
    lower_is_better: Words = Field(default_factory=list)
    higher_is_better: Words = Field(default_factory=list)
    metric_names: dict[Word, Annotated[Words, Field(min_length=1)]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def one_end_is_better(self) -> Self:
        if both := sorted({*self.lower_is_better} & {*self.higher_is_better}):
            raise ValueError(f"lower_is_better: {', '.join(both)} is under higher_is_better too")
        return self

    def measuring(self) -> dict[str, Any]:
        """What the figures of a version depend on: not how they are named and judged afterwards."""
        return self.model_dump(mode="json", exclude={"lower_is_better", "higher_is_better", "metric_names"})

    def metrics(self) -> MetricRules:
        names = {name: tuple(accepted) for name, accepted in self.metric_names.items()}
        return MetricRules(frozenset(self.lower_is_better), frozenset(self.higher_is_better), names)


class RegistrySettings(SettingsSection):
    """id: fixed here, or null for one that is chosen once and kept as a tag on the experiment.

    intended_use, limitations: what the model card of a version says that is registered from now on; null: nothing.
    """

    model_name: ModelName
    experiment: Word
    id: Word | None = None
    intended_use: Sentences | None = None
    limitations: Sentences | None = None


class HttpSettings(SettingsSection):
    """Limits of the HTTP API.

    poll_seconds: how often the champion is looked up. at_once: requests for predictions that are taken; more are told
    to come again. request_seconds: for one answer; body_seconds: until a body has arrived. end_seconds: after SIGTERM.
    allowed_hosts: names in the Host header; empty allows every one.
    """

    poll_seconds: float = Field(gt=0, le=20)
    batch_rows: int = Field(ge=1, le=20_000)
    body_megabytes: float = Field(gt=0)
    at_once: int = Field(ge=1)
    request_seconds: float = Field(gt=0)
    body_seconds: float = Field(gt=0)
    end_seconds: float = Field(gt=0)
    allowed_hosts: list[Word] = Field(default_factory=list)


class ServingSettings(SettingsSection):
    """Limits of the process that loads models, what it may load, and how large files of rows may be.

    trust: allow_list loads skops files with `allowed_types` only; producers also whatever MLflow's pyfunc loads, which
    runs code that came with the model. workers: processes that predict, null for one per core; memory_megabytes and
    kept_models are of each.
    """

    trust: Literal["allow_list", "producers"]
    smoke_seconds: float = Field(gt=0)
    predict_seconds: float = Field(gt=0)
    explain_seconds: float = Field(gt=0)
    memory_megabytes: int = Field(ge=1024)  # the libraries alone take half of it
    workers: int | None = Field(ge=1)
    kept_models: int = Field(ge=1)
    chunk_rows: int = Field(ge=1, le=100_000)
    upload_megabytes: float = Field(gt=0)
    upload_rows: int = Field(ge=1)
    allowed_types: list[Word]
    http: HttpSettings


class Environment(SettingsSection):
    """Addresses, names and secrets; each default address lies under `var/` in the project's root.

    model: which one is served over HTTP. token: what its callers must show, or token_file: where that is written.
    """

    tracking_uri: str
    ledger_url: str
    actor: str | None
    model: str | None = None
    token: SecretStr | None = None
    token_file: str | None = None

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self:
        return cls(
            tracking_uri=environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{VAR / 'mlflow.db'}",
            ledger_url=environ.get("SIGNOFF_LEDGER_URL") or f"sqlite:///{VAR / 'ledger.db'}",
            actor=environ.get("SIGNOFF_ACTOR") or None,
            model=environ.get("SIGNOFF_MODEL") or None,
            token=None if (token := environ.get("SIGNOFF_TOKEN")) is None else SecretStr(token),
            token_file=environ.get("SIGNOFF_TOKEN_FILE"),
        )

    @property
    def person(self) -> str:
        """SIGNOFF_ACTOR, else the login name. Raises InvalidInput where there is neither."""
        try:
            return self.actor or getpass.getuser()
        except (KeyError, OSError) as error:
            raise InvalidInput("SIGNOFF_ACTOR: is not set, and this user has no login name") from error


class Settings(SettingsSection):
    """The whole of `params.yaml`; `environment` is added when it is read."""

    data: DataSettings
    schema_: SchemaSettings = Field(alias="schema")
    split: SplitSettings
    candidates: dict[CandidateName, CandidateSettings] = Field(min_length=1)
    evaluation: EvaluationSettings
    registry: RegistrySettings
    policy: PolicySettings
    serving: ServingSettings
    environment: Environment


def read_settings(path: Path | None = None, *, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings from a file (default: SIGNOFF_PARAMS, else the project's params.yaml) and the environment.

    Raises InvalidInput with the path and the line of the offending key.
    """
    variables = os.environ if environ is None else environ
    file = path or Path(variables.get("SIGNOFF_PARAMS") or ROOT / "params.yaml")
    params = read_params(file)
    if "environment" in params.content:
        raise InvalidInput(f"{params.name}: environment: is not a known key; addresses are environment variables")
    try:
        return Settings.model_validate({**params.content, "environment": Environment.read(variables)})
    except ValidationError as error:
        raise params.problem(error) from error
