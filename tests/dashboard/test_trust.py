"""The four trust states on the pages that load nothing."""

import threading

import pytest

from dashboard import session
from dashboard.components import trust
from pipeline.governance.errors import LedgerBusy, NotFound
from pipeline.governance.lifecycle import Stage
from pipeline.serving.scorer import Scorer
from pipeline.serving.trust import Trust
from pipeline.serving.worker.client import Worker
from support.desks import GRACE, MODEL, REASON
from support.explained_desk import POLICY, desk_of
from support.seen import badges, frame, links

STATES = ("Files as approved]", "Not approved yet]", "Not safe to load]", "Files changed]")


@pytest.fixture
def desk(models, score_with):
    """Its worker is never started: asking it would take a process."""
    service, worker = desk_of(models), Worker(memory_megabytes=4096)
    score_with(worker)
    yield service
    assert worker.pid is None


@pytest.mark.parametrize(
    ("version", "state"), [("1", "Files as approved"), ("2", "Not approved yet"), ("3", "Not safe to load")]
)
def test_review_shows_the_state_without_loading(desk, open_page, version, state):
    """From the ledger and from MLmodel, read as data."""
    app = open_page(desk, "review", model=MODEL, version=version)

    assert not app.exception
    assert any(each.endswith(f": {state}]") for each in badges(app))


def test_changed_files_are_an_alarm_on_review_and_compare(desk, open_page):
    """The champion's bytes are not those that were recorded."""
    desk.registry.write_file(MODEL, 1, "model.skops", content=b"other")
    for page, asked in (("review", {"version": "1"}), ("compare", {"versions": "1,2"})):
        app = open_page(desk, page, model=MODEL, **asked)

        assert not app.exception
        assert any(each.endswith(": Files changed]") for each in badges(app))


def test_compare_shows_the_state_of_each(desk, open_page):
    """Beside stage and aliases."""
    app = open_page(desk, "compare", model=MODEL, versions="1,3")

    assert not app.exception
    assert {each.split(": ")[-1] for each in badges(app)} >= {"Files as approved]", "Not safe to load]"}


@pytest.mark.parametrize(("changed", "state"), [(False, "Files as approved"), (True, "Files changed")])
def test_the_overview_shows_the_state_of_the_champion(desk, open_page, changed, state):
    """Where one reads what serves now."""
    if changed:
        desk.registry.write_file(MODEL, 1, "model.skops", content=b"other")

    app = open_page(desk, "overview")

    assert not app.exception
    assert any(each.endswith(f": {state}]") for each in badges(app))


def test_versions_shows_the_state_of_each(desk, open_page, monkeypatch):
    """In a column of its own."""
    monkeypatch.setattr(trust, "LOOK_SECONDS", 60)
    app = open_page(desk, "versions", model=MODEL)

    shown = frame(app, "Trust").set_index("Version")["Trust"]
    assert {version: list(words) for version, words in shown.items()} == {
        1: ["Files as approved"],
        2: ["Not approved yet"],
        3: ["Not safe to load"],
    }


def test_versions_does_not_wait_for_files_that_are_far_away(desk, open_page, monkeypatch):
    """The cell says so, and the state is there on a later run."""
    arrived, there = threading.Event(), desk.registry.files

    def slow(record, **options):
        assert arrived.wait(60)
        return there(record, **options)

    app = open_page(desk, "versions", model=MODEL)
    monkeypatch.setattr(trust, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(desk.registry, "files", slow)
    session.look.clear()  # type: ignore[attr-defined]
    app.run()
    assert {word for [word] in frame(app, "Trust")["Trust"]} == {trust.NOT_LOOKED_AT}

    arrived.set()
    monkeypatch.setattr(trust, "LOOK_SECONDS", 60)
    app.run()
    assert [word for [word] in frame(app, "Trust")["Trust"]] == [
        "Not safe to load",
        "Not approved yet",
        "Files as approved",
    ]


def test_a_long_table_looks_at_those_in_use(desk, open_page, monkeypatch):
    """The others say that nobody looked, and the caption says how many there are."""
    monkeypatch.setattr(trust, "MOST_LOOKED_AT", 1)
    monkeypatch.setattr(trust, "LOOK_SECONDS", 60)

    app = open_page(desk, "versions", model=MODEL)

    shown = frame(app, "Trust").set_index("Version")["Trust"]
    assert {version: list(words) for version, words in shown.items()} == {
        1: ["Files as approved"],
        2: [trust.NOT_LOOKED_AT],
        3: [trust.NOT_LOOKED_AT],
    }
    assert any(each.value.endswith("Trust is looked at for 1, those in use first.") for each in app.caption)


def test_changed_files_of_the_champion_stand_on_the_first_page(desk, open_page):
    """In a box, in the figure, and in the ledger as an alarm that is written once."""
    desk.registry.write_file(MODEL, 1, "model.skops", content=b"other")

    for _ in range(2):
        app = open_page(desk)

        assert not app.exception
        assert ":red-badge[:material/error: Files changed]" in badges(app)
        assert ":red[**1** changed outside]" in links(app)
    assert [each.type for each in desk.history(MODEL)].count("tampering") == 1


def test_the_overview_marks_what_waits_and_is_not_usable(desk, open_page, monkeypatch):
    """A version whose files changed after its review does not stand there like any other."""
    monkeypatch.setattr(trust, "GLANCE_SECONDS", 60)
    desk.promote(MODEL, 2, Stage.STAGING, reason=REASON, actor=GRACE, accept_warnings=True)
    assert not any(each.endswith(": Files changed]") for each in badges(open_page(desk)))
    desk.registry.write_file(MODEL, 2, "model.skops", content=b"other")
    session.look.clear()  # type: ignore[attr-defined]
    session.evidence.clear()  # type: ignore[attr-defined]

    assert any(each.endswith(": Files changed]") for each in badges(open_page(desk)))


def test_changed_files_are_not_explained(desk, open_page):
    """Not even by the summary that came with them."""
    desk.registry.write_file(MODEL, 1, "model.skops", content=b"other")

    app = open_page(desk, "explain", model=MODEL, version="1")

    assert not app.exception
    assert not app.segmented_control, "a section could be chosen"
    assert any(each.endswith(": Files changed]") for each in badges(app))


def test_an_alarm_that_cannot_be_kept_is_shown(desk):
    """The version is refused also while nobody can write to the ledger."""

    def busy():
        raise LedgerBusy("the ledger: is locked")

    desk.registry.write_file(MODEL, 1, "model.skops", content=b"other")
    desk.ledger.transaction = busy
    targets = Scorer(desk, Worker(memory_megabytes=4096), POLICY).targets
    assert targets.recorded_trust(desk.show(MODEL, 1)).state is Trust.TAMPERED


def test_history_names_a_version_that_is_gone(desk, open_page):
    """The ledger still has it as champion."""
    desk.registry.delete_version(MODEL, 1)

    app = open_page(desk, "history", model=MODEL)

    assert not app.exception
    assert any(each.endswith(": Gone]") for each in badges(app))


def test_an_outage_is_not_kept(desk):
    """Files that are away for a moment are no property of the bytes."""
    targets = Scorer(desk, Worker(memory_megabytes=4096), POLICY).targets
    evidence, read = desk.show(MODEL, 1), desk.registry.read_file

    def away(*_):
        raise NotFound("files: their store does not answer")

    desk.registry.read_file = away
    assert targets.recorded_trust(evidence).reason == "files: their store does not answer"
    desk.registry.read_file = read
    assert targets.recorded_trust(evidence).state is Trust.TRUSTED


def test_history_shows_the_state_of_who_serves_and_of_a_decision(desk, open_page):
    """Of the champion, and now, beside what was seen then, of the version that an event was about."""
    desk.set_alias(MODEL, "shadow", 3, reason=REASON, actor=GRACE, accept_warnings=True)
    decision = next(entry for entry in desk.history(MODEL) if entry.type == "applied")

    app = open_page(desk, "history", model=MODEL, event=str(decision.sequence))

    assert not app.exception
    assert [each.split(": ")[-1] for each in badges(app) if each.endswith(STATES)] == [
        "Not safe to load]",
        "Files as approved]",
    ]
