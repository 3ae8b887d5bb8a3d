"""What the pages say of decisions that have not ended, and of a registry that is silent, unknown or has lost models."""

from concurrent.futures import Future
from dataclasses import replace

import pytest

from dashboard import caching, session
from dashboard.components import trust
from dashboard.overview import waiting
from pipeline.governance.errors import Unavailable
from pipeline.governance.lifecycle import Stage
from pipeline.governance.rules.merit import Waiting
from pipeline.serving.trust import Trust, TrustState
from support.desks import GRACE, MODEL, REASON, OpenDesk, failing
from support.seen import frame, links, texts


@pytest.fixture
def half_done(desk: OpenDesk) -> OpenDesk:
    """A promoter died between intent and effect."""
    desk.registry.set_stage = failing(desk.registry, Unavailable("gone"))
    with pytest.raises(Unavailable):
        desk.promote(MODEL, 3, Stage.STAGING, reason=REASON, actor=GRACE, accept_warnings=True)
    del desk.registry.set_stage
    return desk


def test_the_first_page_names_a_decision_that_is_pending(half_done, open_page):
    """On the card of its model, with since when and what ends it."""
    app = open_page(half_done)

    assert not app.exception
    assert any(
        "Decision 8 is pending since 2026-01-01 00:00" in each.value and "UTC" in each.value for each in app.caption
    )


@pytest.mark.parametrize("query", [{}, {"model": MODEL}])
def test_the_history_names_a_decision_that_is_pending(half_done, open_page, query):
    """Of all models, or of the one that is shown."""
    app = open_page(half_done, "history", **query)

    assert not app.exception
    assert f"{MODEL}: decision 8 is pending since" in texts(app)


def test_the_history_of_a_registry_that_is_silent_is_shown(desk, open_page):
    """With the sentence why nothing is held against it, and a way to try again."""
    desk.registry.down = True
    app = open_page(desk, "history", model=MODEL)

    assert not app.exception
    assert "the registry does not answer; this is the record of the registry that had its address" in texts(app)
    assert "✓ Promoted" in {word for words in frame(app, "Event")["Event"] for word in words}
    desk.registry.down = False
    app.button(key="try_again/registry").click().run()
    assert "does not answer" not in texts(app)


def test_the_first_page_names_a_model_that_is_gone(desk, open_page):
    """Deleted or renamed in the registry: what the ledger says of it is counted, also where no model is left."""
    del desk.registry._models[MODEL]
    app = open_page(desk)

    assert not app.exception
    said = "The champion was changed outside of this desk: the registry says no version, the record says version 1."
    assert said in texts(app)
    desk.registry.add_model("renamed")
    desk.registry.add_version("renamed")
    caching.forget_reads()
    app = open_page(desk)
    assert ":red[**3** changed outside]" in links(app)


def test_the_first_page_names_a_registry_that_the_ledger_does_not_know(desk, open_page):
    """An empty registry at a mistyped address is not one to be filled without a word."""
    desk.ledger.models = list
    app = open_page(desk)

    assert not app.exception
    assert "The ledger holds nothing about this registry (its id is registry-1), it knows another one;" in texts(app)


def test_a_comparison_that_ends_while_the_page_is_drawn_is_redrawn(monkeypatch):
    """What was not known when it was asked for is waited for, also where it is known by the end of the page."""
    monkeypatch.setattr(trust, "GLANCE_SECONDS", 0)
    look: Future[Waiting] = Future()
    found, late = waiting.found({"m": look}, {})
    look.set_result(Waiting(champion=None, metric="accuracy", contenders=()))

    assert (found, late) == ({}, [look])
    assert waiting.found({"m": look}, {}) == ({"m": look.result()}, [])


def test_a_comparison_with_another_champion_than_the_page_shows_is_left_out():
    """It came since the page read the registry: "best, which serves" would be said of a version that the page does not
    show as the champion.
    """
    look: Future[Waiting] = Future()
    look.set_result(Waiting(champion=2, metric="accuracy", contenders=()))

    assert waiting.found({"m": look}, {"m": 1}) == ({}, [])
    assert waiting.found({"m": look}, {"m": 2}) == ({"m": look.result()}, [])


def test_a_look_at_files_that_ends_late_is_redrawn(monkeypatch):
    """What is not known in time is handed back to be waited for, so that the page is drawn anew."""
    look: Future[TrustState] = Future()
    monkeypatch.setattr(session, "look", lambda *_: look)
    monkeypatch.setattr(trust, "GLANCE_SECONDS", 0)
    before = trust.unusable([("m", 1)])
    look.set_result(TrustState(Trust.UNTRUSTED, None, "its files cannot be read"))

    assert before == (set(), [look])
    assert trust.unusable([("m", 1)]) == ({("m", 1)}, [])


def test_the_best_is_never_called_so_without_what_speaks_against_it(desk):
    """A champion that nobody decided on, and a version that may not be used, are said to be so."""
    model = replace(desk.overview()[0], differences=())
    wait = desk.waiting(MODEL, "accuracy")
    desk.registry.set_alias(MODEL, "champion", 3)
    moved, differs = desk.waiting(MODEL, "accuracy"), desk.overview()[0]

    says = waiting.should_serve
    assert says(model, wait, set()) == ("Best: version 1, which serves", True)
    assert says(model, wait, {(MODEL, 1)}) == (
        "Best: version 1, which serves and may not be used",
        False,
    )
    assert says(differs, moved, set()) == (
        "Version 3 serves, made champion outside of this desk",
        False,
    )
