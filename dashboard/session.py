"""What the pages share: the service, who acts, reads that are cached for seconds, and the message after a write."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec, TypeVar

import pandas as pd
import streamlit as st

from dashboard.caching import fresh, made_once
from dashboard.components import tables
from dashboard.login import visitor as looking
from pipeline import bootstrap, model_card
from pipeline.comparison.comparer import PairedBootstrap
from pipeline.comparison.rows import Rows, read_rows
from pipeline.explanation.result import Explanation, from_npz
from pipeline.governance.actor import Actor
from pipeline.governance.errors import StaleEvidence
from pipeline.governance.lifecycle import CHAMPION, Move, MoveKind
from pipeline.governance.metrics import is_bound
from pipeline.governance.ports import ModelRecord, PendingDecision
from pipeline.governance.record.documents import EVALUATION_ROWS, EXPLANATION_VALUES
from pipeline.governance.record.evidence import LATENCY_METRIC, Evidence, Recomputation
from pipeline.governance.record.history import Entry, ModelOverview, Period
from pipeline.governance.record.out_of_band import OutOfBandChange
from pipeline.governance.roles import Action, Provider
from pipeline.governance.rules.compare import Comparison, MetricColumn
from pipeline.governance.rules.paired import Flips
from pipeline.governance.rules.review import Review
from pipeline.governance.rules.trend import Trend, TrendRecord
from pipeline.governance.service import GovernanceService
from pipeline.governance.service.notices import not_sent
from pipeline.serving import what_if
from pipeline.serving.predictions import Explanations, Opinion, Prediction, Resolved, Target
from pipeline.serving.scorer import Scorer
from pipeline.serving.targets import input_schema
from pipeline.serving.trust import TrustState
from pipeline.serving.what_if import Counterfactual
from pipeline.settings import Settings, read_settings
from pipeline.validation.rows import CheckedRow, Value

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

MOST_PERIODS = 50  # of champions over time: more make no picture
LOOK_SECONDS = 60  # longer: a look that takes long must not begin anew before it ends
LOOKING = ThreadPoolExecutor(2, "look")
EXPLAINED_SECONDS = 300  # by digest, so it cannot become wrong
FLASH = "flash"


@made_once
def settings() -> Settings:
    return read_settings()


@made_once
def own_desk() -> GovernanceService:
    """The service for the dashboard itself, whoever looks at its pages."""
    return bootstrap.own_desk(settings())


def desk() -> GovernanceService:
    """The service for who looks at the page."""
    return own_desk().as_(visitor())


def scorer() -> Scorer:
    """Predicts and explains in a worker process. Raises NotAllowed for a visitor who may not have it do so."""
    admit(Action.PREDICT)
    return own_scorer()


@made_once
def own_scorer() -> Scorer:
    """The same for the dashboard itself, which looks at how far versions are to be trusted."""
    return bootstrap.scorer(settings(), own_desk())


def comparer() -> PairedBootstrap:
    """With the settings that versions are compared with."""
    return bootstrap.comparer(settings())


def actor() -> Actor:
    """The same, in whose name something is signed. Raises InvalidInput where this process has no name."""
    found = visitor()
    if settings().identity.provider is Provider.LOCAL and not found.subject:
        bootstrap.person(settings())
    return found


def visitor() -> Actor:
    """Who looks at the page: somebody without a role where nobody is logged in, or nobody has a name here."""
    return looking.visitor(settings())


def signer(kind: MoveKind | None = None) -> Actor:
    """The same, asked before anything is typed or begun. Raises NotAllowed for who decides nothing here.

    kind: of the move that they would decide; None: whatever it is.
    """
    person = actor()
    desk().check_signer(person, kind)
    return person


def admit(action: Action = Action.READ) -> None:
    """Raises NotAllowed for a visitor who may not do that: what one has asked is shown to others for a while."""
    desk().authorise(action)


def may_record() -> None:
    """Raises NotAllowed where the dashboard may not write down what it finds: where nobody logs in and everybody on the
    network could ask for it.
    """
    if settings().identity.provider is Provider.LOCAL:
        signer()


# Reads, shared for some seconds.


@fresh(most=1)
def overview() -> tuple[ModelOverview, ...]:
    return tuple(desk().overview())


@fresh(most=1)
def unsent_notices() -> str:
    """What people could not be told, as sentences; empty where there is nothing."""
    return not_sent(desk().unsent_notices())


@fresh(most=1)
def models() -> tuple[ModelRecord, ...]:
    return tuple(desk().models())


@dataclass(frozen=True, eq=False)
class VersionTable:
    """The versions of a model as they were read. Equal to itself only: what is made of it is kept by it."""

    metrics: tuple[MetricColumn, ...]  # that the table shows
    frame: pd.DataFrame  # see tables.versions
    numbers: tuple[int, ...]  # newest first
    champion: int | None


def version_table(model: str, chosen: tuple[str, ...] = (), intervals: tuple[str, ...] = ()) -> VersionTable:
    """chosen: the metrics of the table, empty for the usual ones. intervals: the metrics whose interval it has."""
    return _version_table(model, chosen, intervals)  # to a cache, a default and the same value are two things


@fresh(most=20)
def _version_table(model: str, chosen: tuple[str, ...], intervals: tuple[str, ...]) -> VersionTable:
    usual = dict.fromkeys([settings().evaluation.primary_metric, "accuracy", "log_loss"])
    last = "" if chosen else LATENCY_METRIC
    names, rows = desk().telling_versions(model, chosen or tuple(usual), intervals, last=last)
    metrics = desk().metric_columns(rows, names)
    champion = next((row.version for row in rows if CHAMPION in row.aliases), None)
    frame = tables.versions(rows, metrics, desk().gate_counts(model))
    return VersionTable(tuple(metrics), frame, tuple(row.version for row in rows), champion)


@fresh(most=20)
def known_metrics(model: str) -> tuple[str, ...]:
    """Those of the versions table, then the others that the newest version or the champion has."""
    table = version_table(model)
    shown = [column.name for column in table.metrics]
    numbers = {table.champion, *table.numbers[:1]}
    found = {name for number in numbers if number is not None for name in desk().version(model, number).row.metrics}
    return tuple(dict.fromkeys([*shown, *sorted(name for name in found if not is_bound(name, found))]))


@fresh(most=5)
def trend_record(model: str, metric: str) -> TrendRecord:
    return desk().trend(model, metric)


@fresh(most=20)
def trend(model: str, metric: str, versions: tuple[int, int] | None) -> Trend:
    return trend_record(model, metric).shown(versions)


@fresh()
def evidence(model: str, version: int) -> Evidence:
    return desk().show(model, version)


@fresh()
def review(move: Move, recomputed: Recomputation | None) -> Review:
    """The gates of a move. recomputed: the claims of its version, where somebody had them recomputed on the page."""
    return desk().review(move, recomputed=recomputed)


@fresh(most=20)
def card(model: str, version: int) -> model_card.Card:
    """The same card as `signoff card`."""
    return model_card.describe(desk(), model, version)


@fresh()
def rollback_move(model: str) -> Move:
    return desk().rollback_move(model)


@fresh()
def event(sequence: int) -> Entry | None:
    return desk().event(sequence)


@fresh()
def decision(number: int) -> tuple[Entry, Entry | None] | None:
    """A decision by its number, see service.decision."""
    return desk().decision(number)


@fresh(most=1)
def recorded_models() -> tuple[str, ...]:
    """The models that the ledger knows."""
    return tuple(desk().recorded_models())


@fresh(most=20)
def pending(model: str | None) -> tuple[PendingDecision, ...]:
    return tuple(desk().pending(model))


@fresh(most=1)
def gone() -> dict[str, tuple[OutOfBandChange, ...]]:
    """Models that only the ledger still knows, with what they had; without those whose loss somebody has adopted."""
    found = {name: tuple(desk().differences(name)) for name in desk().gone_models()}
    return {name: differences for name, differences in found.items() if differences}


@fresh(most=1)
def unknown_registry() -> str | None:
    """Why the ledger says nothing about this registry; None where nothing is wrong."""
    return desk().unknown_registry()


@fresh(most=1)
def first_token() -> str | None:
    """That a token was made before anybody could log in, as long as it is news; None where none was."""
    found = desk().first_token()
    return None if found is None else found.told


@fresh(most=1)
def silence() -> str | None:
    """Why the registry does not answer; None where nothing is wrong."""
    return desk().silence()


@fresh()
def champions(model: str) -> tuple[Period, ...]:
    """The newest periods of champions, one more than are shown."""
    return tuple(desk().champions(model, newest=MOST_PERIODS + 1))


@fresh()
def differences(model: str) -> tuple[OutOfBandChange, ...]:
    return tuple(desk().differences(model))


@fresh()
def comparison(model: str, a: int, b: int) -> Comparison:
    """Differences are b minus a."""
    return desk().compare(model, a, b)


@fresh(most=10)
def flips(model: str, a: int, b: int) -> Flips:
    return desk().flips(model, a, b)


@fresh()
def target(model: str, version: int) -> Target:
    """A version with its trust state and columns; the first time it is copied and loaded."""
    return own_scorer().targets.target(Resolved(model, version))


@fresh()
def recorded_trust(model: str, version: int) -> TrustState:
    """One of the four states, without loading the version."""
    return own_scorer().targets.recorded_trust(evidence(model, version))


@fresh(most=500, seconds=LOOK_SECONDS)
def look(model: str, version: int) -> Future[TrustState]:
    """The same in another thread, since the files of many versions may take minutes to read."""
    service, targets = own_desk(), own_scorer().targets
    return LOOKING.submit(lambda: targets.recorded_trust(service.show(model, version)))


@fresh(most=10)
def evaluation_rows(model: str, version: int) -> Rows:
    """Raises NotFound where the version came without, InvalidInput where they cannot be read."""
    record = desk().version(model, version)
    return read_rows(desk().read_file(record, EVALUATION_ROWS), f"version {version}")


@fresh(most=10)
def stored_explanation(model: str, version: int) -> Explanation:
    """The values behind the summary that came with the version. Raises as evaluation_rows does."""
    return from_npz(desk().read_file(desk().version(model, version), EXPLANATION_VALUES))


# Answers of the worker. A row is given as pairs, which the cache can look up; the digest stands for the files.


def predicting(answer: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Asks before each answer, also before one that is kept, whether this visitor may have models answer."""

    @wraps(answer)
    def ask(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        admit(Action.PREDICT)
        return answer(*args, **kwargs)

    return ask


@predicting
@st.cache_resource(ttl=EXPLAINED_SECONDS, max_entries=200, show_spinner=False)
def explained(model: str, version: int, digest: str, *, row: tuple[tuple[str, Value], ...]) -> Explanations:
    return own_scorer().explain(of_digest(model, version, digest), [dict(row)])


@predicting
@st.cache_resource(ttl=EXPLAINED_SECONDS, max_entries=200, show_spinner=False)
def opinion(model: str, version: int, digest: str, *, row: tuple[tuple[str, Value], ...], class_name: str) -> Opinion:
    """A local linear model of a row and a class, see Scorer.second_opinion."""
    found = explained(model, version, digest, row=row)
    return own_scorer().second_opinion(of_digest(model, version, digest), found, class_name=class_name)


@predicting
@st.cache_resource(ttl=EXPLAINED_SECONDS, max_entries=200, show_spinner=False)
def smallest_change(
    model: str, version: int, digest: str, *, row: tuple[tuple[str, Value], ...], wanted: str | None
) -> Counterfactual | None:
    """The smallest change to a class (None: to any other one) in the columns that the policy lets a person change."""
    found = of_digest(model, version, digest)
    checked = CheckedRow(dict(row), problems=(), warnings=())

    def ask(rows: Sequence[CheckedRow]) -> Sequence[Prediction]:
        return own_scorer().predict_checked(found, rows).rows

    names = settings().policy.may_change.get(model, [])
    return what_if.smallest_change(ask, checked, input_schema(found), may_change=names, wanted=wanted)


def of_digest(model: str, version: int, digest: str) -> Target:
    found = target(model, version)
    if found.digest != digest:
        raise StaleEvidence(f"version {version} of {model}: its files have changed; try again")
    return found


def versions(model: str) -> pd.DataFrame:
    return version_table(model).frame


def metric_names(model: str) -> list[str]:
    """How good a version is, by the metrics of the versions table: the primary one first; where a model has none of
    ours, those that it has.
    """
    return [column.name for column in version_table(model).metrics if column.name != LATENCY_METRIC]


def champion_of(model: str) -> int | None:
    return version_table(model).champion


# A message drawn before a rerun would be lost, so the session keeps it for the next run.


def flash(message: str) -> None:
    st.session_state[FLASH] = message


def show_flash() -> None:
    if message := st.session_state.pop(FLASH, None):
        st.toast(message, icon=":material/check_circle:", duration="long")


# The row of the form, which pages share and the address names.

ROW_VALUES = "values"  # in the address, see validation.row_address
PAGE, FOLLOWED = "page", "followed_row"
JUST_MADE = "just_made"  # under which key a token that this visitor has just made is shown


@dataclass(frozen=True)
class FollowedRow:
    """The row of the form as the address of the page has named it last."""

    model: str
    text: str  # empty for the defaults
    refusal: str = ""  # why it cannot be used; empty where it can


def arrive(page: str) -> None:
    """Forgets what the address of another page said about the row, and the token that another page shows."""
    if st.session_state.get(PAGE) != page:
        st.session_state[PAGE] = page
        st.session_state.pop(FOLLOWED, None)
        st.session_state.pop(JUST_MADE, None)


def followed_row() -> FollowedRow | None:
    found: FollowedRow | None = st.session_state.get(FOLLOWED)
    return found


def follow_row(row: FollowedRow) -> None:
    st.session_state[FOLLOWED] = row
