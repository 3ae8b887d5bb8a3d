"""Figures of this machine, as ratios to a floor measured in the same run; medians. `make bench` prints them."""

import gc
import itertools
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

import sqlalchemy as sa
from bench_floor import BUDGETS, floor_figures
from bench_http import http_figures
from bench_log import log_figures
from bench_pages import long_table_paint, page_figures
from bench_people import people_figures
from bench_score import score_figures
from bench_serving import serving_figures
from bench_training import training_figures

from pipeline.adapters.ledger.sql import SqlLedger
from pipeline.adapters.ledger.standing import rebuild
from pipeline.adapters.mlflow.registry import MlflowRegistry
from pipeline.governance.lifecycle import Slot, Stage
from pipeline.governance.record.ledger import Event, EventType, SlotChange, chain, replay
from pipeline.governance.service import GovernanceService
from support import registries
from support.desks import GRACE, MODEL, REASON, TickingClock, build_desk
from support.in_memory import EPOCH
from support.shifts import planted, profile_of_held_out_rows

METRICS = ["accuracy", "f1_macro", "log_loss"]
# The floor: the columns that the versions page shows, those of the run and those of the version's own logged model, in
# one statement, rows as the driver gives them.
ONE_QUERY = """
select mv.version, mv.current_stage, mv.status, mv.run_id, mv.creation_time, mv.description,
       a.value, b.value, c.value, own.model_id, own_a.metric_value, own_b.metric_value, own_c.metric_value,
       kind.value, producer.value,
       (select group_concat(alias) from registered_model_aliases held where held.name = mv.name
        and held.version = mv.version)
from model_versions mv
left join latest_metrics a on a.run_uuid = mv.run_id and a.key = 'accuracy'
left join latest_metrics b on b.run_uuid = mv.run_id and b.key = 'f1_macro'
left join latest_metrics c on c.run_uuid = mv.run_id and c.key = 'log_loss'
left join logged_models own on own.model_id = substr(mv.source, 9)
left join logged_model_metrics own_a on own_a.model_id = own.model_id and own_a.metric_name = 'accuracy'
left join logged_model_metrics own_b on own_b.model_id = own.model_id and own_b.metric_name = 'f1_macro'
left join logged_model_metrics own_c on own_c.model_id = own.model_id and own_c.metric_name = 'log_loss'
left join model_version_tags kind on kind.name = mv.name and kind.version = mv.version and kind.key = 'model_type'
left join model_version_tags producer
    on producer.name = mv.name and producer.version = mv.version and producer.key = 'produced_by'
where mv.name = ? and mv.current_stage <> 'Deleted_Internal'
order by mv.version desc"""


class FixedId:
    """A registry id that was chosen."""

    def known(self) -> str:
        return "bench"

    keep = known


def median_ms(work: Callable[[], object], *, times: int = 9) -> float:
    """The first call is not counted; it pays for caches and imports."""
    work()
    gc.collect()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append((time.perf_counter() - start) * 1000)
    return statistics.median(taken)


def line(what: str, figure: str, budget: str) -> None:
    sys.stdout.write(f"{what:<44} {figure:<44} {budget}\n")


def bench_ledger(folder: Path) -> None:
    ledger = SqlLedger(f"sqlite:///{folder / 'ledger.db'}", registry=FixedId(), clock=TickingClock())
    slot = Slot.of_alias(MODEL, "champion")
    reason = "x" * 200

    def append(count: int, per_transaction: int) -> float:
        start = time.perf_counter()
        for _ in range(count // per_transaction):
            with ledger.transaction() as transaction:
                for _ in range(per_transaction):
                    change = SlotChange(slot, "1", "1", "1")
                    transaction.append(
                        Event(EventType.OUT_OF_BAND, MODEL, EPOCH, (change,), content={"reason": reason})
                    )
        return count / (time.perf_counter() - start)

    line("ledger: append, one event a transaction", f"{append(1_000, 1):,.0f} events/s", "at least 500 events/s")
    append(50_000, 1_000)
    start = time.perf_counter()
    problems = ledger.problems()
    rate = 51_000 / (time.perf_counter() - start)
    line("ledger: verify", f"{rate:,.0f} events/s, {len(problems)} problems", "at least 100,000 events/s")


def bench_growth(folder: Path) -> None:
    """The same questions to a model with a hundred events and with a hundred thousand."""
    figures: dict[str, list[float]] = {}
    for events in (100, 100_000):
        desk = long_desk(folder / f"events-{events}", events)
        aliases = (f"alias-{number}" for number in itertools.count())
        work: dict[str, Callable[[], object]] = {
            "history: first page": lambda desk=desk: first_page(desk),  # type: ignore[misc]
            "a decision": lambda desk=desk, names=aliases: desk.set_alias(  # type: ignore[misc]
                MODEL, next(names), 3, reason=REASON, actor=GRACE, accept_warnings=True
            ),
            "a rollback's review": lambda desk=desk: desk.review(desk.rollback_move(MODEL)),  # type: ignore[misc]
        }
        for what, act in work.items():
            figures.setdefault(what, []).append(median_ms(act, times=15))
    for what, (few, many) in figures.items():
        line(f"ledger: {what}", f"{few:.1f} ms, with 100,000 events {many:.1f} ms, {many / few:.2f} x", "at most 1.5 x")


def first_page(desk: GovernanceService) -> None:
    """What the page asks for."""
    desk.known_models()
    desk.differences(MODEL)
    desk.history_page(MODEL)
    desk.given_out_again(MODEL)
    desk.champions(MODEL, newest=51)


def long_desk(folder: Path, events: int) -> GovernanceService:
    """A model whose champion changed with every third decision, beside stages and refusals; three versions."""
    folder.mkdir()
    ledger = SqlLedger(f"sqlite:///{folder / 'ledger.db'}", registry=FixedId(), clock=TickingClock())
    desk = build_desk(ledger=ledger)
    for version in (1, 2, 3):
        for stage in (Stage.STAGING, Stage.PRODUCTION):
            desk.promote(MODEL, version, stage, reason=REASON, actor=GRACE, accept_warnings=True)
    _, *made = [stored.event for stored in ledger.events()]
    last = list(ledger.events())[-1]
    rows, states = [], ledger.slots(MODEL)
    for sequence in range(last.sequence + 1, events - events % len(made) + 2):
        event = made[(sequence - 2) % len(made)]
        content = {**event.content, "intent": sequence - 1} if "intent" in event.content else event.content
        last = chain(event._replace(decision=f"d{sequence // 2}", key=None, content=content), sequence, last.hash)
        rows.append({**last._asdict(), "type": event.type.value, "decision": f"d{sequence // 2}"})
    append_raw(folder / "ledger.db", rows)
    assert {slot: held.recorded for slot, held in replay(each.event for each in ledger.events()).items()} == {
        slot: held.recorded for slot, held in states.items()
    }
    return desk


def append_raw(database: Path, rows: list[dict[str, object]]) -> None:
    """Whole decisions, after which every slot is as it was before; then what is kept beside the events is made anew."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.executemany(
            "INSERT INTO ledger_event (registry, sequence, previous_hash, hash, body, type, model, decision) "
            f"VALUES ('bench', :sequence, :previous_hash, :hash, :body, :type, '{MODEL}', :decision)",
            [{name: value for name, value in row.items() if name != "event"} for row in rows],
        )
    engine = sa.create_engine(f"sqlite:///{database}")
    with engine.begin() as begun:
        rebuild(begun)
    engine.dispose()


def bench_versions(folder: Path, versions: int) -> None:
    uri = registries.copy_store(registries.template_store(folder), folder / str(versions))
    fill(folder / str(versions) / "mlflow.db", versions)
    registry = MlflowRegistry(uri, experiment="signoff")
    with closing(sqlite3.connect(folder / str(versions) / "mlflow.db")) as connection:
        floor = median_ms(lambda: connection.execute(ONE_QUERY, (MODEL,)).fetchall())
    ours = median_ms(lambda: registry.table(MODEL, METRICS))
    figure = f"{ours:.1f} ms, floor {floor:.1f} ms, {ours / floor:.2f} x"
    line(f"versions table, {versions:,} versions", figure, "at most 3 x")
    ledger = f"sqlite:///{folder / str(versions) / 'ledger.db'}"
    painted = long_table_paint(
        {"MLFLOW_TRACKING_URI": uri, "SIGNOFF_LEDGER_URL": ledger}, folder / str(versions), MODEL, versions
    )
    line(f"versions page, {versions:,} versions, painted", f"{painted:,.0f} ms", "under 2,000 ms")


def fill(database: Path, versions: int) -> None:
    """Rows as MLflow writes them: each version with a run, a logged model, 40 metrics of both, 3 tags."""
    with closing(sqlite3.connect(database)) as connection, connection:
        now = 1_780_000_000_000
        connection.execute("insert into registered_models (name, creation_time) values (?, ?)", (MODEL, now))
        for version in range(1, versions + 1):
            run, model_id = uuid.uuid4().hex, f"m-{uuid.uuid4().hex}"
            connection.execute(
                "insert into runs (run_uuid, name, source_type, status, start_time, lifecycle_stage, experiment_id) "
                "values (?, 'run', 'LOCAL', 'FINISHED', ?, 'active', 0)",
                (run, now),
            )
            connection.execute(
                "insert into model_versions (name, version, creation_time, current_stage, source, run_id, status) "
                "values (?, ?, ?, 'None', ?, ?, 'READY')",
                (MODEL, version, now + version, f"models:/{model_id}", run),
            )
            connection.execute(
                "insert into logged_models (model_id, experiment_id, name, artifact_location, creation_timestamp_ms, "
                "last_updated_timestamp_ms, status, lifecycle_stage, source_run_id) "
                "values (?, 0, 'model', '/nowhere', ?, ?, 2, 'active', ?)",
                (model_id, now, now, run),
            )
            names = [*METRICS, *(f"metric_{number}" for number in range(37))]
            rows = [(name, 0.9, now, 0, 0, run) for name in names]
            connection.executemany(
                "insert into latest_metrics (key, value, timestamp, step, is_nan, run_uuid) values (?, ?, ?, ?, ?, ?)",
                rows,
            )
            own = [(model_id, name, now, 0, 0.9, run) for name in names]
            connection.executemany(
                "insert into logged_model_metrics (model_id, metric_name, metric_timestamp_ms, metric_step, "
                "metric_value, experiment_id, run_id) values (?, ?, ?, ?, ?, 0, ?)",
                own,
            )
            tags = [(MODEL, version, key, "value") for key in ("model_type", "git_commit", "data_source")]
            connection.executemany(
                "insert into model_version_tags (name, version, key, value) values (?, ?, ?, ?)", tags
            )


def filled(folder: Path) -> dict[str, str]:
    """The environment of a registry that the demo filled."""
    folder.mkdir()
    environment = {
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
        "SIGNOFF_LEDGER_URL": f"sqlite:///{folder / 'ledger.db'}",
    }
    command = [sys.executable, "-m", "pipeline", "demo", "--json"]
    subprocess.run(command, env={**os.environ, **environment}, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return environment


def bench_demo(folder: Path) -> None:
    environment = filled(folder / "demo")
    people = {"80 people at once, against one": people_figures(environment, folder)}
    figures = {**page_figures(environment, folder), **serving_figures(environment), **people}
    figures |= training_figures(folder)
    at_most = ("1.3 x", "1.3 x", "1.5 x", "1.5 x", "1.3 x + 5 ms", "1.3 x", "2 x", "1.2 x")
    budgets = [*(f"at most {budget}" for budget in at_most), "for comparison", "for comparison", "at most 1 x"]
    for (what, (ours, floor)), budget in zip(figures.items(), budgets, strict=True):
        line(what, f"{ours:.1f} ms, floor {floor:.1f} ms, {ours / floor:.2f} x", budget)
    ours, theirs, floor = http_figures(environment, folder)
    figure = f"{ours:,.0f}, mlflow {theirs:,.0f}, in process {floor:,.0f}"
    line("1,000 rows over HTTP, rows/s", figure, f"{ours / theirs:.2f} x as fast as mlflow")
    bench_floor(environment, folder)
    bench_log(environment, folder)
    for what, (figure, budget) in score_figures(environment, folder / "score").items():
        line(what, figure, budget)


def bench_floor(environment: Mapping[str, str], folder: Path) -> None:
    for what, by_server in floor_figures(environment, folder).items():
        figure = ", ".join(f"{name} {each:,.2f}" for name, each in by_server.items())
        line(f"one row over HTTP, {what}", figure, BUDGETS[what])


def bench_log(environment: Mapping[str, str], folder: Path) -> None:
    """What the log of predictions and a shadow cost."""
    for what, (ours, off, budget) in log_figures(environment, folder).items():
        line(what, f"{ours}, off {off}", budget)


def bench_drift() -> None:
    """Shifts that were planted with fixed seeds, and windows without any."""
    seen = planted(profile_of_held_out_rows())
    line("drift: shifted windows found", f"{seen.found} of {seen.windows}", "nearly all")
    line("drift: false alarms in unshifted windows", f"{seen.alarms} of {seen.windows}", "hardly any")


PARTS = {"floor": bench_floor, "log": bench_log}


def main() -> None:
    """Print one line per figure, with its budget. `bench.py floor`: one row over HTTP, `log`: the log, `drift`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chdir(folder)  # MLflow's own calls leave `mlruns` in the current folder
        if sys.argv[1:] == ["drift"]:
            bench_drift()
            return
        if sys.argv[1:]:
            PARTS[sys.argv[1]](filled(folder / "demo"), folder)
            return
        bench_drift()
        bench_ledger(folder)
        bench_growth(folder)
        for versions in (1_000, 10_000):
            bench_versions(folder, versions)
        bench_demo(folder)


if __name__ == "__main__":
    main()
