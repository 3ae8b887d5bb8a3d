"""`params.yaml` and the environment, read once into one frozen value; unknown keys are refused with their path."""

import base64
import getpass
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator

from pipeline.governance.errors import InvalidInput
from pipeline.governance.metrics import MetricRules
from pipeline.governance.policy import Policy
from pipeline.governance.record.checkpoint import CheckpointKey
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
from pipeline.settings.identity import IdentitySettings
from pipeline.settings.monitoring import MonitoringSettings
from pipeline.settings.policy import PolicySettings
from pipeline.settings.schema import SchemaSettings

ROOT = Path(__file__).resolve().parents[2]
# Beside an installed wheel there is no project: it carries the default settings and keeps its state where it runs.
_CHECKOUT = (ROOT / "params.yaml").is_file()
_DEFAULT_PARAMS = ROOT / "params.yaml" if _CHECKOUT else Path(__file__).with_name("params.yaml")
VAR = (ROOT if _CHECKOUT else Path.cwd()) / "var"
ESTIMATORS = Literal["logistic_regression", "random_forest", "extra_trees", "hist_gradient_boosting"]


MOST_SECRET_BYTES = 4_096
FEWEST_KEY_CHARACTERS = 32


def _public_key(text: str) -> str:
    try:
        size = len(base64.b64decode(text, validate=True))
    except ValueError:
        size = 0
    if size != PUBLIC_BYTES:
        raise ValueError(
            f"must be the {PUBLIC_BYTES} bytes of an Ed25519 key in base64, as signoff keys new prints them"
        )
    return text


PUBLIC_BYTES = 32
PublicKey = Annotated[str, AfterValidator(_public_key)]


class DataSettings(SettingsSection):
    """Where the rows to train on come from."""

    # "sample", or the path of a CSV or Parquet file.
    source: Word
    sample_rows: int = Field(ge=200)
    sample_seed: int


class SplitSettings(SettingsSection):
    """How rows are divided for training and evaluation: stratified by class, after exact duplicates were dropped."""

    test_share: Share
    seed: int


class CandidateSettings(SettingsSection):
    """One training recipe."""

    estimator: ESTIMATORS
    # Whether Weight / Height² is an input too.
    body_mass_index: bool = False
    # Those of the scikit-learn estimator.
    parameters: dict[str, Any] = Field(default_factory=dict)


class EvaluationSettings(SettingsSection):
    """How versions are measured; slices are by each categorical column and by bands of Age where there is one."""

    primary_metric: Word
    # Of every interval, such as 0.95.
    confidence: Share
    bootstrap_samples: int = Field(ge=100)
    bootstrap_seed: int
    cross_validation_folds: int = Field(ge=2)
    # The edges; the last band holds its upper edge too.
    age_bands: Edges = Field(min_length=2)
    # Names of metrics that do not say by themselves which end is better.
    lower_is_better: Words = Field(default_factory=list)
    higher_is_better: Words = Field(default_factory=list)
    # By our name of a metric, the names under which a gate looks for it, in order; see MetricRules.
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
    """Under which names training registers, and what a model card says."""

    model_name: ModelName
    experiment: Word
    # Of the registry; null for one that is chosen once and kept as a tag on the experiment.
    id: Word | None = None
    # What the cards of versions say that are registered from now on; null: nothing.
    intended_use: Sentences | None = None
    limitations: Sentences | None = None


class KeySettings(SettingsSection):
    """A public key whose signatures on checkpoints count."""

    # What `verify` calls it.
    name: Word
    # Its 32 bytes in base64, as `signoff keys new` prints them.
    public: PublicKey
    # The event from which it holds.
    first: int = Field(alias="from", ge=1)
    # The event up to which it held; null: it still does.
    last: int | None = Field(default=None, alias="to", ge=1)


class CheckpointSettings(SettingsSection):
    """Who must sign checkpoints. Never in the database that they protect."""

    keys: list[KeySettings] = Field(default_factory=list)

    @model_validator(mode="after")
    def every_key_is_there_once(self) -> Self:
        for names in ([key.name for key in self.keys], [key.public for key in self.keys]):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"keys: {', '.join(twice)} is there twice")
        return self

    def checkpoint_keys(self) -> tuple[CheckpointKey, ...]:
        return tuple(CheckpointKey(key.name, key.public, key.first, key.last) for key in self.keys)


class HttpSettings(SettingsSection):
    """Limits of the HTTP API."""

    # Between two looks for a new champion.
    poll_seconds: float = Field(gt=0, le=20)
    # Most rows of one request.
    batch_rows: int = Field(ge=1, le=20_000)
    body_megabytes: float = Field(gt=0)
    # Concurrent requests for predictions; more are told to come again later.
    at_once: int = Field(ge=1)
    # Until a request is answered.
    request_seconds: float = Field(gt=0)
    # Until the body of a request has arrived.
    body_seconds: float = Field(gt=0)
    # After SIGTERM, until requests that still run are given up.
    end_seconds: float = Field(gt=0)
    # Whether what serves is compiled; the original answers where the two differ.
    compile: bool = False
    # Names in the Host header; empty allows every one.
    allowed_hosts: list[Word] = Field(default_factory=list)


class ServingSettings(SettingsSection):
    """Limits of the processes that load models, what they may load, and how large files of rows may be."""

    # "allow_list" loads skops files with `allowed_types` only; "producers" also whatever MLflow's pyfunc loads, which
    # runs code that came with the model.
    trust: Literal["allow_list", "producers"]
    smoke_seconds: float = Field(gt=0)
    predict_seconds: float = Field(gt=0)
    explain_seconds: float = Field(gt=0)
    # Of each process; the libraries alone take half of the least.
    memory_megabytes: int = Field(ge=1024)
    # Processes that predict; null for one per core.
    workers: int | None = Field(ge=1)
    # Models that each process keeps in memory.
    kept_models: int = Field(ge=1)
    # Rows of a file that are scored at a time.
    chunk_rows: int = Field(ge=1, le=100_000)
    upload_megabytes: float = Field(gt=0)
    upload_rows: int = Field(ge=1)
    allowed_types: list[Word]
    http: HttpSettings


Told = Literal[
    "requested",
    "approved",
    "rejected",
    "applied",
    "overridden",
    "out_of_band",
    "tampering",
    "finding_opened",
    "finding_closed",
]


class NotifySettings(SettingsSection):
    """What people are told; to whom is in the environment, since such addresses hold secrets."""

    # None: nobody is told anything.
    events: list[Told] = Field(default_factory=list)
    # Of the dashboard, for links; null: notices have none.
    address: Annotated[str, Field(pattern=r"^https?://[^\s@?#]+$")] | None = None


class Environment(SettingsSection):
    """Addresses, names and secrets. The default addresses lie under `var/`: in the project's root, or in the current
    folder where there is no project.
    """

    # MLflow's, as for its own client.
    tracking_uri: str
    # SQLAlchemy's form.
    ledger_url: str
    # Name of the person who decides; null: the login name.
    actor: str | None
    # Where this host keeps its checkpoints; null: the place that goes with the ledger.
    checkpoint_file: str | None = None
    # The private key with which this host signs them; null: it has none.
    signing_key_file: str | None = None
    # Of the log of predictions, in SQLAlchemy's form.
    log_url: str = f"sqlite:///{VAR / 'predictions.db'}"
    # Under which values are stored as an HMAC, or a file that holds it.
    log_key: SecretStr | None = None
    log_key_file: str | None = None
    # Which model is served over HTTP; null: `registry.model_name`.
    model: str | None = None
    # The identity token of the command line; in `serve`, the shared secret that callers for predictions must send.
    token: SecretStr | None = None
    # A file that holds the token.
    token_file: str | None = None
    # Whom to tell: addresses in Apprise's form, with white space between, or a file with one per line.
    notify_urls: SecretStr | None = None
    notify_file: str | None = None
    # The settings' own file, of which the roles are read again when it changes; null for settings without one.
    params: Path | None = None

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self:
        return cls(
            tracking_uri=environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{VAR / 'mlflow.db'}",
            ledger_url=environ.get("SIGNOFF_LEDGER_URL") or f"sqlite:///{VAR / 'ledger.db'}",
            checkpoint_file=environ.get("SIGNOFF_CHECKPOINT_FILE") or None,
            signing_key_file=environ.get("SIGNOFF_SIGNING_KEY_FILE") or None,
            log_url=environ.get("SIGNOFF_LOG_URL") or f"sqlite:///{VAR / 'predictions.db'}",
            log_key=None if (key := environ.get("SIGNOFF_LOG_KEY")) is None else SecretStr(key),
            log_key_file=environ.get("SIGNOFF_LOG_KEY_FILE"),
            actor=environ.get("SIGNOFF_ACTOR") or None,
            model=environ.get("SIGNOFF_MODEL") or None,
            token=None if (token := environ.get("SIGNOFF_TOKEN")) is None else SecretStr(token),
            token_file=environ.get("SIGNOFF_TOKEN_FILE"),
            notify_urls=None if (urls := environ.get("SIGNOFF_NOTIFY_URLS")) is None else SecretStr(urls),
            notify_file=environ.get("SIGNOFF_NOTIFY_FILE") or None,
        )

    def notify_targets(self) -> list[str]:
        """The addresses of whom to tell; none where nobody is named. Raises InvalidInput."""
        if self.notify_file is None:
            return [] if self.notify_urls is None else self.notify_urls.get_secret_value().split()
        if self.notify_urls is not None:
            raise InvalidInput("SIGNOFF_NOTIFY_URLS: is set, and so is SIGNOFF_NOTIFY_FILE; set one of them")
        try:
            lines = Path(self.notify_file).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is not in UTF-8"
            raise InvalidInput(f"SIGNOFF_NOTIFY_FILE: cannot be read ({why})") from error
        return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]

    def secret(self) -> tuple[str, str] | None:
        """Where the token was given, for messages, and its text; None where there is none.

        Raises InvalidInput where both variables are set, and for a file that holds no line of ASCII.
        """
        return _secret("SIGNOFF_TOKEN", self.token, self.token_file)

    def key_of_log(self) -> bytes:
        """The key under which the log stores values as an HMAC. Raises InvalidInput for none, and for a short one."""
        found = _secret("SIGNOFF_LOG_KEY", self.log_key, self.log_key_file)
        if found is None:
            raise InvalidInput("SIGNOFF_LOG_KEY: is not set, and monitoring.log.keyed needs a key of the operator")
        where, key = found
        if len(key) < FEWEST_KEY_CHARACTERS:
            raise InvalidInput(f"{where}: must have at least {FEWEST_KEY_CHARACTERS} characters")
        return key.encode()

    @property
    def person(self) -> str:
        """SIGNOFF_ACTOR, else the login name. Raises InvalidInput where there is neither."""
        try:
            return self.actor or getpass.getuser()
        except (KeyError, OSError) as error:
            raise InvalidInput("SIGNOFF_ACTOR: is not set, and this user has no login name") from error


def _secret(name: str, value: SecretStr | None, file: str | None) -> tuple[str, str] | None:
    """Where a secret was given, for messages, and its text; see Environment.secret."""
    if value is not None and file is not None:
        raise InvalidInput(f"{name} and {name}_FILE: set one of them, not both")
    if value is not None:
        return name, value.get_secret_value()
    if file is None:
        return None
    about = f"{name}_FILE: {file}"
    try:
        with Path(file).open("rb") as opened:
            return about, opened.read(MOST_SECRET_BYTES).decode("ascii").strip()
    except OSError as error:
        raise InvalidInput(f"{about}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{about}: must hold one line of ASCII") from error


class Settings(SettingsSection):
    """The whole of `params.yaml`; `environment` is added when it is read."""

    data: DataSettings
    schema_: SchemaSettings = Field(alias="schema")
    split: SplitSettings
    candidates: dict[CandidateName, CandidateSettings] = Field(min_length=1)
    evaluation: EvaluationSettings
    registry: RegistrySettings
    policy: PolicySettings
    identity: IdentitySettings = Field(default_factory=IdentitySettings)
    serving: ServingSettings
    notify: NotifySettings = Field(default_factory=NotifySettings)
    monitoring: MonitoringSettings = Field(default_factory=MonitoringSettings)
    checkpoints: CheckpointSettings = CheckpointSettings()
    environment: Environment

    def rules(self) -> Policy:
        """What the desk decides by: the policy, with how metrics are judged and who establishes identities."""
        policy = self.policy.policy(self.evaluation.metrics(), logins=self.identity.logins)
        return replace(policy, provider=self.identity.provider, fresh=self.identity.fresh)


def params_file(environ: Mapping[str, str] | None = None) -> Path:
    """SIGNOFF_PARAMS, else the project's params.yaml, or that of the installed wheel."""
    variables = os.environ if environ is None else environ
    return Path(variables.get("SIGNOFF_PARAMS") or _DEFAULT_PARAMS)


def read_settings(path: Path | None = None, *, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings from a file (default: see params_file) and the environment.

    Raises InvalidInput with the path and the line of the offending key.
    """
    variables = os.environ if environ is None else environ
    file = path or params_file(variables)
    params = read_params(file)
    if "environment" in params.content:
        raise InvalidInput(f"{params.name}: environment: is not a known key; addresses are environment variables")
    try:
        environment = Environment.read(variables).model_copy(update={"params": file})
        return Settings.model_validate({**params.content, "environment": environment})
    except ValidationError as error:
        raise params.problem(error) from error
