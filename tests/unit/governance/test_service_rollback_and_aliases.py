"""Back to the champion before, and aliases."""

from collections.abc import Callable

import pytest

from pipeline.governance.errors import (
    Blocked,
    NotFound,
    NotTried,
    Unavailable,
    WarningsNotAccepted,
)
from pipeline.governance.lifecycle import Stage
from support.decisions import champion, promote
from support.desks import (
    GRACE,
    MODEL,
    REASON,
    KnownSmoke,
    OpenDesk,
    build_desk,
    refused,
    small_registry,
)


class TestRollback:
    """Back to the champion before, with proof."""

    def test_returns_to_the_champion_before(self) -> None:
        """Files as recorded, and it still predicts."""
        smoke = KnownSmoke()
        desk = build_desk(smoke=smoke)
        champion(desk, 1, 2)
        outcome = desk.rollback(MODEL, reason=REASON, actor=GRACE)

        assert desk.registry.state(MODEL).champion == 1
        assert (outcome.version, smoke.asked) == (1, [1])
        assert desk.registry.state(MODEL).stages[2] is Stage.ARCHIVED

    def test_twice_goes_back_two_steps(self) -> None:
        """Not forth to the version that was just left."""
        desk = build_desk()
        champion(desk, 1, 2, 3)
        desk.rollback(MODEL, reason=REASON, actor=GRACE)
        desk.rollback(MODEL, reason=REASON, actor=GRACE)

        assert desk.registry.state(MODEL).champion == 1
        with pytest.raises(NotFound, match="knows no earlier champion"):
            desk.rollback(MODEL, reason=REASON, actor=GRACE)

    def test_is_blocked_where_the_files_were_changed(self) -> None:
        """The bytes are not those that were champion."""
        registry = small_registry()
        desk = build_desk(registry)
        champion(desk, 1, 2)
        registry.write_file(MODEL, 1, "model.skops", content=b"other")
        with pytest.raises(Blocked, match="Files of the former champion"):
            desk.rollback(MODEL, reason=REASON, actor=GRACE)

    @pytest.mark.parametrize("files", [True, False])
    def test_is_blocked_where_it_does_not_predict(self, files: bool) -> None:
        """The gate quotes the reason."""
        registry = small_registry()
        desk = build_desk(registry, smoke=KnownSmoke(refused("It crashed.")))
        champion(desk, 1, 2)
        if not files:
            registry._models[MODEL].files[1] = {}
        with pytest.raises(Blocked, match=r"Trial prediction: (It crashed|The model's files cannot be read)"):
            desk.rollback(MODEL, reason=REASON, actor=GRACE)

    def test_is_possible_for_whatever_the_desk_promoted(self) -> None:
        """Also where the version cannot be tried here: that is a warning, which is accepted and recorded."""
        desk = build_desk(smoke=KnownSmoke(NotTried("its flavor is lightgbm")))
        champion(desk, 1, 2)

        with pytest.raises(WarningsNotAccepted, match="Trial prediction: its flavor is lightgbm"):
            desk.rollback(MODEL, reason=REASON, actor=GRACE)
        assert desk.rollback(MODEL, reason=REASON, actor=GRACE, accept_warnings=True).version == 1

    def test_is_not_decided_while_nothing_is_known(self) -> None:
        """Unavailable is not a failed gate."""
        desk = build_desk(smoke=KnownSmoke(Unavailable("gone")))
        champion(desk, 1, 2)
        with pytest.raises(Unavailable):
            desk.rollback(MODEL, reason=REASON, actor=GRACE)

    def test_knows_the_champion_that_was_taken_over(self) -> None:
        """The baseline holds its digest."""
        registry = small_registry()
        registry.set_alias(MODEL, "champion", 1)
        registry.set_stage(MODEL, 1, Stage.PRODUCTION)
        desk = build_desk(registry)
        champion(desk, 2)
        desk.rollback(MODEL, reason=REASON, actor=GRACE)

        assert registry.state(MODEL).champion == 1


class TestAliases:
    """Names that move."""

    def test_are_set_and_taken_away(self) -> None:
        """Without a stage."""
        desk = build_desk()
        desk.set_alias(MODEL, "shadow", 2, reason=REASON, actor=GRACE)
        assert desk.registry.state(MODEL).aliases == {"shadow": 2}
        desk.remove_alias(MODEL, "shadow", reason=REASON, actor=GRACE)
        assert desk.registry.state(MODEL).aliases == {}

    def test_champion_promotes(self) -> None:
        """One is not had without the other."""
        desk = build_desk()
        promote(desk, 2, Stage.STAGING)
        desk.set_alias(MODEL, "champion", 2, reason=REASON, actor=GRACE)

        assert desk.registry.state(MODEL).stages[2] is Stage.PRODUCTION

    @pytest.mark.parametrize(
        "leave",
        [
            lambda desk: promote(desk, 1, Stage.ARCHIVED),
            lambda desk: promote(desk, 1, Stage.NONE),
            lambda desk: promote(desk, 1, Stage.STAGING),
            lambda desk: desk.remove_alias(MODEL, "champion", reason=REASON, actor=GRACE),
        ],
    )
    def test_champion_leaves_only_with_a_successor(self, leave: Callable[[OpenDesk], object]) -> None:
        """Promote another or roll back first."""
        desk = build_desk()
        champion(desk, 1)
        with pytest.raises(Blocked, match="Does not serve as champion: It serves as champion"):
            leave(desk)
