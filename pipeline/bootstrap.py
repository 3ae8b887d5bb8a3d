"""The only place that picks the parts: registry, ledger, clock, identity. Heavy imports happen here, when asked for."""

import os
import secrets
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.governance.actor import Actor, Established
from pipeline.governance.errors import InvalidInput, NotFound, Unavailable
from pipeline.governance.ports import Ledger, Registry
from pipeline.governance.roles import Action, Provider
from pipeline.governance.rules.watching import Watching
from pipeline.governance.service import DESK, GovernanceService
from pipeline.governance.service.notices import Messenger
from pipeline.settings import Settings, read_settings
from pipeline.settings.identity import FileRoles

if TYPE_CHECKING:
    from pipeline.adapters.identity.headers import Headers
    from pipeline.adapters.ledger.sql import SqlLedger
    from pipeline.adapters.prediction_log.sql import SqlPredictionLog
    from pipeline.comparison import PairedBootstrap
    from pipeline.governance.ports import KnownRegistry, ModelReader, VersionRecord
    from pipeline.governance.record.checkpoint import Signing
    from pipeline.governance.record.findings import Window
    from pipeline.governance.rules.watching import AccuracyFigure, Watcher, WatchReport
    from pipeline.monitoring.log_desk import LogDesk
    from pipeline.monitoring.profile import Profile
    from pipeline.monitoring.recording.answered import Subject
    from pipeline.monitoring.recording.batches import LogWriter, RecordingOptions
    from pipeline.monitoring.recording.recorder import Recorder
    from pipeline.serving.scorer import Scorer
    from pipeline.training.register import Publisher


SHADOW_NICENESS = 10  # see nice(1): whoever is answered goes first, and still a shadow is not silent for minutes
SECRET_BYTES = 32  # of an identity token: 256 bits of the system's chance


class SystemClock:
    """The time of this machine, in UTC."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def elapsed(self) -> float:
        return time.monotonic()


@dataclass
class KeptRegistryId:
    """The id from the settings, else the one kept in the registry, asked for once."""

    registry: Registry
    fixed: str | None  # from the settings
    ledger: Ledger | None = None  # It knows, where the registry does not answer, which registry had its address.
    _known: str | None = None

    def known(self) -> str | None:
        """Raises Unavailable where nobody answers and the ledger cannot tell whose record is meant.

        It can by the address, and where it knows one registry only; see service.whose_record.
        """
        try:
            return self._asked()
        except Unavailable as error:
            if kept := self._written_about():
                return kept
            if addresses := ", ".join(each.address for each in self._known_registries()):
                raise Unavailable(f"{str(error).rstrip('.')}; the ledger has the records of: {addresses}") from error
            raise

    def keep(self) -> str:
        """The registry itself has to say so, or to take it."""
        self._known = self._asked() or self.registry.keep_registry_id(uuid.uuid4().hex)
        return self._known

    def _asked(self) -> str | None:
        self._known = self._known or self.fixed or self.registry.registry_id()
        return self._known

    def _written_about(self) -> str | None:
        known = self._known_registries()
        here = [each.registry for each in known if self.ledger and each.address == self.ledger.address]
        if here:
            return here[-1]
        return known[0].registry if len({each.registry for each in known}) == 1 else None

    def _known_registries(self) -> "list[KnownRegistry]":
        return self.ledger.registries() if self.ledger else []


@dataclass(frozen=True)
class LazyWatcher:
    """Implements Watcher by one that is made when it is asked: most verbs need none of its libraries."""

    make: "Callable[[], Watcher]"

    def report(self, record: "VersionRecord", window: "Window", approved: "AccuracyFigure | None") -> "WatchReport":
        return self.make().report(record, window, approved)


def desk(settings: Settings | None = None) -> GovernanceService:
    """The service for whoever runs this process, who may know what their roles let them.

    It is over the registry and ledger of the settings (default: `params.yaml` and the environment). Raises InvalidInput
    for settings that cannot be used, NotAllowed for a token that is not good. Nothing else is read from the registry or
    written before a method is called.
    """
    used = settings or read_settings()
    found = own_desk(used)
    return found.as_(whoever(used) if used.environment.secret() is None else acting(found, used))


def prepare_threads() -> None:
    """What a server does before several of its threads ask a desk; a verb, which has one, need not wait for it."""
    from pipeline.adapters.ledger import database

    database.prepare_threads()


def own_desk(settings: Settings | None = None) -> GovernanceService:
    """The service for the desk itself, which reads and records and decides nothing. A server binds it to each visitor,
    see GovernanceService.as_; everything else is as in `desk`.
    """
    from pipeline.adapters.mlflow.registry import MlflowRegistry
    from pipeline.adapters.notify.targets import AppriseNotifier
    from pipeline.serving.gate_checks import SubprocessSmoke, WorkerRecomputer

    used = settings or read_settings()
    clock = SystemClock()
    registry = MlflowRegistry(used.environment.tracking_uri, experiment=used.registry.experiment)
    ledger = _ledger(used, registry, clock)
    rules = used.rules()
    return GovernanceService(
        registry=registry,
        ledger=ledger,
        policy=rules,
        comparer=comparer(used),
        smoke=SubprocessSmoke(
            registry,
            seconds=used.serving.smoke_seconds,
            memory_megabytes=used.serving.memory_megabytes,
            allowed_types=tuple(used.serving.allowed_types),
            trust=used.serving.trust,
        ),
        clock=clock,
        new_id=lambda: uuid.uuid4().hex,
        new_secret=lambda: secrets.token_urlsafe(SECRET_BYTES),
        recomputer=WorkerRecomputer(registry, used.serving),
        messenger=Messenger(
            ledger, AppriseNotifier(used.environment.notify_targets()), clock, used.notify.address or ""
        ),
        roles=FileRoles(file, rules.roles) if (file := used.environment.params) else None,
        watching=_watching(used, registry, clock),
    )


def _watching(settings: Settings, reader: "ModelReader", clock: SystemClock) -> Watching:
    """How what serves is watched: by the log of predictions, where there is one."""
    rules = settings.monitoring.rules()
    if not settings.monitoring.log.enabled:
        return Watching(rules=rules)
    log = prediction_log(settings)

    def watcher() -> "Watcher":
        from pipeline.comparison.intervals import Draws
        from pipeline.monitoring.watch import LogWatcher

        drawn = settings.evaluation
        draws = Draws(drawn.bootstrap_samples, drawn.bootstrap_seed, drawn.confidence)
        return LogWatcher(reader, log, clock, draws)

    return Watching(LazyWatcher(watcher), rules)


def _ledger(settings: Settings, registry: Registry, clock: SystemClock) -> "SqlLedger":
    """The ledger of the settings, which knows its registry by the id that is kept there."""
    from pipeline.adapters.ledger.sql import SqlLedger

    kept, registry_id = settings.environment.checkpoint_file, KeptRegistryId(registry, settings.registry.id)
    registry_id.ledger = found = SqlLedger(
        settings.environment.ledger_url,
        registry=registry_id,
        clock=clock,
        address=settings.environment.tracking_uri,
        told=frozenset(settings.notify.events),
        checkpoint_file=None if kept is None else Path(kept),
        signing=signing(settings),
    )
    return found


def signing(settings: Settings) -> "Signing":
    """With which key this host signs checkpoints, and whose signatures count.

    Raises InvalidInput for a file that is no key.
    """
    from pipeline.adapters.signing import Ed25519Check, Ed25519Signer
    from pipeline.governance.record.checkpoint import Signing

    file = settings.environment.signing_key_file
    signer = None if file is None else Ed25519Signer(Path(file))
    return Signing(signer, settings.checkpoints.checkpoint_keys(), Ed25519Check())


def comparer(settings: Settings) -> "PairedBootstrap":
    """Evaluates and compares rows with the draws, intervals and age bands of the settings."""
    from pipeline.comparison import PairedBootstrap

    found = settings.evaluation
    return PairedBootstrap(
        samples=found.bootstrap_samples,
        seed=found.bootstrap_seed,
        confidence=found.confidence,
        age_bands=tuple(found.age_bands),
    )


def publisher(settings: Settings) -> "Publisher":
    """Where training registers versions; opens nothing before it is asked."""
    from pipeline.adapters.mlflow.publisher import MlflowPublisher

    return MlflowPublisher(settings.environment.tracking_uri, experiment=settings.registry.experiment)


def scorer(
    settings: Settings, service: GovernanceService, *, workers: int | None = None, niceness: int = 0
) -> "Scorer":
    """Predictions and explanations of the service's versions. Its worker processes start when they are first needed, or
    with `start`, and end with `close` or with this process. Raises NotAllowed where whoever asks may not predict.

    workers: processes, None for those of the settings. niceness: of the processes, see nice(1).
    """
    from pipeline.serving.scorer import Scorer
    from pipeline.serving.trust import LoadingPolicy
    from pipeline.serving.worker.client import Pool, Worker, cores

    service.authorise(Action.PREDICT)
    serving = settings.serving
    policy = LoadingPolicy(
        trust=serving.trust,
        allowed_types=tuple(serving.allowed_types),
        kept_models=serving.kept_models,
        predict_seconds=serving.predict_seconds,
        explain_seconds=serving.explain_seconds,
    )
    size = workers or serving.workers or cores()
    pool = Pool(size, memory_megabytes=serving.memory_megabytes, niceness=niceness)
    compiler = partial(Worker, memory_megabytes=serving.memory_megabytes) if serving.http.compile else None
    return Scorer(service.as_(DESK), pool, policy, compiler=compiler)


def prediction_log(settings: Settings) -> "SqlPredictionLog":
    """Where predictions are kept; opens nothing. Raises InvalidInput for an address that cannot be used."""
    from pipeline.adapters.prediction_log.sql import SqlPredictionLog

    environment = settings.environment
    if environment.log_url == environment.ledger_url:
        raise InvalidInput("SIGNOFF_LOG_URL: is the ledger's database; the log of predictions needs one of its own")
    return SqlPredictionLog(environment.log_url)


def check_recording(settings: Settings) -> None:
    """Raises InvalidInput for settings of the log that cannot be used; opens nothing."""
    if settings.monitoring.log.enabled:
        prediction_log(settings)
        recording_options(settings)


def log_desk(settings: Settings, service: GovernanceService) -> "LogDesk":
    """The log of predictions for whoever asks with this service; opens nothing."""
    from pipeline.monitoring.log_desk import LogDesk

    return LogDesk(service, prediction_log(settings), comparer(settings), clock=SystemClock())


def recording_options(settings: Settings) -> "RecordingOptions":
    """What the settings have recorded of an answer. Raises InvalidInput where they need a key and there is none."""
    from pipeline.monitoring.recording.batches import RecordingOptions
    from pipeline.monitoring.recording.kept import StoredColumns

    log = settings.monitoring.log
    key = settings.environment.key_of_log() if log.enabled and log.keyed else b""
    columns = StoredColumns(frozenset(log.clear), frozenset(log.keyed), key)
    return RecordingOptions(columns, log.sample, timedelta(days=log.days))


def log_writer(settings: Settings) -> "LogWriter | None":
    """A process that writes the log for a server, whose imports it begins with; None where nothing is logged.

    Raises InvalidInput for settings that cannot be used.
    """
    from pipeline.adapters.prediction_log.process import WriterProcess

    if not settings.monitoring.log.enabled:
        return None
    check_recording(settings)
    return WriterProcess(settings.environment.log_url, recording_options(settings))


def recorder(
    settings: Settings, service: GovernanceService, model: str, *, writer: "LogWriter | None", door: str = "http"
) -> "Recorder":
    """Who is told what was answered, with the shadow that is asked too, where the settings name one.

    writer: see log_writer; None writes in this process. Raises InvalidInput for settings that cannot be used,
    Unavailable where the log is to be written and cannot be.
    """
    from pipeline.monitoring.prediction_log import Door
    from pipeline.monitoring.recording.batches import DirectWriter
    from pipeline.monitoring.recording.recorder import PredictionRecorder, Unrecorded
    from pipeline.monitoring.recording.shadow import Shadow, ShadowedRecorder

    if not settings.monitoring.log.enabled:
        return Unrecorded()
    options = recording_options(settings)
    found = PredictionRecorder(
        writer or DirectWriter(prediction_log(settings), options),
        options,
        model=model,
        profile_of=partial(_profile_of, service),
        door=Door(door),
    )
    alias = settings.monitoring.shadow
    if alias is None or found.door is not Door.HTTP:
        return found
    aside = scorer(settings, service, workers=1, niceness=SHADOW_NICENESS)
    return ShadowedRecorder(found, Shadow(aside, model=model, alias=alias, tell=found.shadowed))


def _profile_of(service: GovernanceService, subject: "Subject") -> "Profile | None":
    """The reference profile of a version; None where it has none and no rows to make one from."""
    from pipeline.monitoring.reference import find_profile

    try:
        return find_profile(service, service.version(subject.resolved.model, subject.resolved.version))
    except (NotFound, InvalidInput):
        return None


def person(settings: Settings, name: str | None = None, *, loopback: bool = True) -> Actor:
    """Whoever types: the given name, else SIGNOFF_ACTOR, else the login name. Self-declared, and recorded as such.

    loopback: whether they sit at this machine, as on a command line; only then they decide.
    """
    return Actor(name or settings.environment.person, Established.SELF_DECLARED, loopback=loopback)


def whoever(settings: Settings) -> Actor:
    """As `person`, and nameless where a process has no name: reading needs none where it is open to everybody."""
    try:
        return person(settings)
    except InvalidInput:
        return Actor("", Established.SELF_DECLARED, loopback=True)


def acting(service: GovernanceService, settings: Settings) -> Actor:
    """Whoever runs this process: the owner of the token that it was given, else as `person`.

    Raises NotAllowed for a token that is not good, InvalidInput where this process has no name.
    """
    token = settings.environment.secret()
    if token is None:
        return person(settings)
    _, secret = token
    return service.authenticate(secret, loopback=True)


def signer(service: GovernanceService, settings: Settings) -> Actor:
    """Who signs with a service of `desk`. Raises InvalidInput where this process has no name."""
    return service.actor if service.actor.subject else person(settings)


def visitor(
    settings: Settings, *, claims: Callable[[], Mapping[str, object]], headers: "Headers", loopback: bool
) -> Actor | None:
    """Who looks at a page, as `identity.provider` says; None for nobody, who has no role.

    claims: of the login, as Streamlit keeps them. headers: of the request that opened the page. loopback: whether only
    this machine can reach the server. Raises InvalidInput without the secret by which the proxy is known.
    """
    from pipeline.adapters.identity.claims import actor_of_claims
    from pipeline.adapters.identity.headers import actor_of_headers
    from pipeline.settings.login import proxy_secret

    identity = settings.identity
    match identity.provider:
        case Provider.OIDC:
            return actor_of_claims(claims(), groups_claim=identity.groups_claim, now=SystemClock().now())
        case Provider.PROXY:
            secret = proxy_secret(os.environ).get_secret_value()
            return actor_of_headers(headers, names=identity.proxy, secret=secret)
        case Provider.LOCAL:
            return replace(whoever(settings), loopback=loopback)


def program(name: str) -> Actor:
    """A part of Signoff that acts by itself: `pipeline` or `demo`."""
    return Actor(name, Established.PROGRAM)
