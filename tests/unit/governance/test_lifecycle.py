"""Stages, aliases and what each move changes."""

import pytest

from pipeline.governance.errors import InvalidInput
from pipeline.governance.lifecycle import (
    Change,
    ModelState,
    Move,
    MoveKind,
    Slot,
    Stage,
    alias_move,
    check_alias,
    check_move,
    parse_stage,
    parse_target,
    plan_changes,
    stage_move,
)
from pipeline.governance.reason import check_reason

CHAMPION = Slot.of_alias("m", "champion")
STATE = ModelState(
    {"champion": 1, "old": 2}, {1: Stage.PRODUCTION, 2: Stage.STAGING, 3: Stage.NONE, 4: Stage.PRODUCTION}
)


NONE, STAGING, PRODUCTION = Stage.NONE, Stage.STAGING, Stage.PRODUCTION


def stage(version: int) -> Slot:
    return Slot.of_stage("m", version)


@pytest.mark.parametrize(
    ("slot", "content", "words"),
    [
        (CHAMPION, "2", "the alias champion is on version 2"),
        (CHAMPION, None, "the alias champion is on no version"),
        (stage(3), "Staging", "version 3 is in Staging"),
        (stage(3), "None", "version 3 is in no stage"),
        (stage(3), None, "version 3 is not there"),
    ],
)
def test_a_slot_with_its_content_is_said_in_words(slot: Slot, content: str | None, words: str) -> None:
    """For the sentences that people read, where JSON has the slot and its content."""
    assert slot.holding(content) == words


@pytest.mark.parametrize(
    ("move", "changes"),
    [
        pytest.param(stage_move("m", 3, Stage.STAGING), [Change(stage(3), "None", "Staging")], id="a stage alone"),
        pytest.param(
            stage_move("m", 2, Stage.PRODUCTION),
            [
                Change(CHAMPION, "1", "2"),
                Change(stage(2), "Staging", "Production"),
                Change(stage(1), "Production", "Archived"),
                Change(stage(4), "Production", "Archived"),
            ],
            id="production: the alias commits, every other Production version is archived",
        ),
        pytest.param(
            Move("m", MoveKind.ROLLBACK, 4),
            [
                Change(CHAMPION, "1", "4"),
                Change(stage(1), "Production", "Archived"),
                Change(stage(4), "Production", "Production"),
            ],
            id="rollback to a version that is in Production already, which is held there",
        ),
        pytest.param(
            alias_move("m", "champion", 1),
            [
                Change(stage(4), "Production", "Archived"),
                Change(CHAMPION, "1", "1"),
                Change(stage(1), "Production", "Production"),
            ],
            id="the champion again: only the stray Production version goes, the champion is held",
        ),
        pytest.param(
            alias_move("m", "old", 3), [Change(Slot.of_alias("m", "old"), "2", "3")], id="another alias moves alone"
        ),
        pytest.param(alias_move("m", "old", 2), [], id="nothing to do"),
        pytest.param(
            Move("m", MoveKind.UNALIAS, None, "old"), [Change(Slot.of_alias("m", "old"), "2", None)], id="an alias goes"
        ),
        pytest.param(stage_move("m", 9, Stage.STAGING), [Change(stage(9), None, "Staging")], id="an unknown version"),
    ],
)
def test_a_move_changes_exactly_these_slots(move: Move, changes: list[Change]) -> None:
    """The first change commits the move, what only is held comes last, a move that changes nothing has none."""
    assert changes == plan_changes(move, STATE)


@pytest.mark.parametrize(
    ("move", "target"),
    [
        (stage_move("m", 1, Stage.ARCHIVED), "Archived"),
        (alias_move("m", "champion", 1), "Production"),
        (alias_move("m", "shadow", 1), "@shadow"),
        (Move("m", MoveKind.UNALIAS, None, "shadow"), "@shadow"),
        (Move("m", MoveKind.ROLLBACK, 1), "Production"),
        (Move("m", MoveKind.RECONCILE, None), "reconcile"),
    ],
)
def test_a_move_names_its_target(move: Move, target: str) -> None:
    """The same words on every screen."""
    assert target == move.target


@pytest.mark.parametrize(
    ("text", "move"),
    [
        ("production", stage_move("m", 3, Stage.PRODUCTION)),
        (" NONE ", stage_move("m", 3, Stage.NONE)),
        ("@champion", stage_move("m", 3, Stage.PRODUCTION)),
        ("@shadow", alias_move("m", "shadow", 3)),
    ],
)
def test_a_target_in_words_is_a_move(text: str, move: Move) -> None:
    """Stages in any case, aliases with their sign; the alias champion is a promotion."""
    assert move == parse_target("m", 3, text)


def test_an_unknown_stage_is_refused_with_the_allowed_ones() -> None:
    """One sentence: what is wrong and what is allowed."""
    with pytest.raises(InvalidInput, match="'Live' is not one of None, Staging, Production, Archived"):
        parse_stage("Live")


@pytest.mark.parametrize("alias", ["", "a b", "a@b", "é", "x\n", "a" * 256, "latest", "LATEST", "v12"])
def test_an_alias_that_mlflow_refuses_or_nobody_can_read_is_refused(alias: str) -> None:
    """Reserved names, blanks, other alphabets, line ends and overlong names."""
    with pytest.raises(InvalidInput, match="alias"):
        check_alias(alias)


@pytest.mark.parametrize("reason", ["", "   too short   "[:9], "x" * 2001])
def test_a_reason_has_10_to_2000_characters(reason: str) -> None:
    """Counted without surrounding space."""
    with pytest.raises(InvalidInput, match="10 to 2,000 characters are allowed"):
        check_reason(reason)


def test_a_reason_is_kept_without_surrounding_space() -> None:
    """What is kept is what was meant."""
    assert check_reason("  long enough \n") == "long enough"


@pytest.mark.parametrize(
    ("slot", "value", "label"),
    [
        (CHAMPION, "1", "@champion"),
        (Slot.of_alias("m", "gone"), None, "@gone"),
        (stage(2), "Staging", "/2"),
        (stage(9), None, "/9"),
    ],
)
def test_a_state_gives_each_slot_its_content(slot: Slot, value: str | None, label: str) -> None:
    """None for what is not there."""
    assert (value, label) == (STATE.value(slot), slot.label)


@pytest.mark.parametrize(
    ("champion", "stages", "outside"),
    [
        pytest.param(None, {1: PRODUCTION}, False, id="no champion"),
        pytest.param(1, {1: PRODUCTION, 2: STAGING}, False, id="in Production"),
        pytest.param(1, {1: NONE, 2: NONE}, False, id="no stages at all"),
        pytest.param(1, {1: NONE, 2: PRODUCTION}, True, id="another one is in Production"),
        pytest.param(1, {1: STAGING, 2: NONE}, True, id="in another stage"),
        pytest.param(9, {1: NONE}, False, id="a version that nobody knows"),
    ],
)
def test_a_champion_outside_production(champion: int | None, stages: dict[int, Stage], outside: bool) -> None:
    """Where stages are used, one is not had without the other."""
    aliases = {} if champion is None else {"champion": champion}

    assert ModelState(aliases, stages).champion_outside_production is outside


@pytest.mark.parametrize(
    "move",
    [
        Move("m", MoveKind.RECONCILE, None),
        Move("m", MoveKind.STAGING, None),
        Move("m", MoveKind.STAGING, 1, "mine"),
        Move("m", MoveKind.UNALIAS, 1, "mine"),
        Move("m", MoveKind.UNALIAS, None),
        Move("m", MoveKind.ALIAS, 1),
        Move("m", MoveKind.ALIAS, 1, "champion"),
        Move("m", MoveKind.ALIAS, 1, "v1"),
    ],
)
def test_a_move_that_no_verb_makes_is_refused(move: Move) -> None:
    """The alias champion comes with Production, and every kind needs its own parts."""
    with pytest.raises(InvalidInput):
        check_move(move)


@pytest.mark.parametrize(
    "move",
    [
        stage_move("m", 1, Stage.PRODUCTION),
        alias_move("m", "mine", 1),
        alias_move("m", "champion", 1),
        Move("m", MoveKind.UNALIAS, None, "champion"),
        Move("m", MoveKind.ROLLBACK, 1),
    ],
)
def test_a_move_of_a_verb_is_taken_as_it_is(move: Move) -> None:
    """The very move comes back."""
    assert check_move(move) is move
