"""What the pages say of decisions that have not ended, and of a registry that does not answer."""

import pytest
from seen import frame, texts

from desks import GRACE, MODEL, REASON, failing
from pipeline.governance.errors import Unavailable
from pipeline.governance.lifecycle import Stage
from pipeline.governance.service import GovernanceService


@pytest.fixture
def half_done(desk: GovernanceService) -> GovernanceService:
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
    assert "✓ Applied" in {word for words in frame(app, "Event")["Event"] for word in words}
    desk.registry.down = False
    app.button(key="try_again/registry").click().run()
    assert "does not answer" not in texts(app)
