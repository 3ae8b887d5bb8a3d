"""The four trust states on the pages that load nothing."""

import pytest
from explained_desk import desk_of
from seen import badges, frame

from dashboard import trust
from desks import GRACE, MODEL, REASON
from pipeline.serving.client import Worker


@pytest.fixture
def desk(models, score_with):
    """Its worker is never started: asking it would take a process."""
    service, worker = desk_of(models), Worker(memory_megabytes=4096)
    score_with(worker)
    yield service
    assert worker.pid is None


@pytest.mark.parametrize(("version", "state"), [("1", "Trusted"), ("2", "In review"), ("3", "Untrusted")])
def test_review_shows_the_state_without_loading(desk, open_page, version, state):
    """From the ledger and from MLmodel, read as data."""
    app = open_page(desk, "review", model=MODEL, version=version)

    assert not app.exception
    assert any(each.endswith(f": {state}]") for each in badges(app))


def test_changed_files_are_an_alarm_on_review_and_compare(desk, open_page):
    """The champion's bytes are not those that were recorded."""
    desk.registry.write_file(MODEL, 1, "model.skops", b"other")
    for page, asked in (("review", {"version": "1"}), ("compare", {"versions": "1,2"})):
        app = open_page(desk, page, model=MODEL, **asked)

        assert not app.exception
        assert any(each.endswith(": Tampered]") for each in badges(app))


def test_compare_shows_the_state_of_each(desk, open_page):
    """Beside stage and aliases."""
    app = open_page(desk, "compare", model=MODEL, versions="1,3")

    assert not app.exception
    assert {each.split(": ")[-1] for each in badges(app)} >= {"Trusted]", "Untrusted]"}


@pytest.mark.parametrize(("changed", "state"), [(False, "Trusted"), (True, "Tampered")])
def test_the_overview_shows_the_state_of_the_champion(desk, open_page, changed, state):
    """Where one reads what serves now."""
    if changed:
        desk.registry.write_file(MODEL, 1, "model.skops", b"other")

    app = open_page(desk, "overview")

    assert not app.exception
    assert any(each.endswith(f": {state}]") for each in badges(app))


def test_versions_shows_the_state_of_each(desk, open_page):
    """In a column of its own."""
    app = open_page(desk, "versions", model=MODEL)

    shown = frame(app, "Trust").set_index("Version")["Trust"]
    assert {version: list(words) for version, words in shown.items()} == {
        1: ["Trusted"],
        2: ["In review"],
        3: ["Untrusted"],
    }


def test_versions_looks_at_so_many_as_there_is_time_for(desk, open_page, monkeypatch):
    """Files may be far away: a cell stays empty, and a long table has no such column."""
    monkeypatch.setattr(trust, "LOOK_SECONDS", 0.0)
    assert not any(map(list, frame(open_page(desk, "versions", model=MODEL), "Trust")["Trust"]))
    monkeypatch.setattr(trust, "MOST_LOOKED_AT", 2)

    app = open_page(desk, "versions", model=MODEL)

    assert "Trust" not in frame(app, "Version")


def test_history_shows_the_state_of_who_serves_and_of_a_decision(desk, open_page):
    """Of the champion, and now, beside what was seen then, of the version that an event was about."""
    desk.set_alias(MODEL, "shadow", 3, reason=REASON, actor=GRACE, accept_warnings=True)
    decision = next(entry for entry in desk.history(MODEL) if entry.type == "applied")

    app = open_page(desk, "history", model=MODEL, event=str(decision.sequence))

    assert not app.exception
    assert [each.split(": ")[-1] for each in badges(app) if "rust" in each] == ["Untrusted]", "Trusted]"]
