"""Decisions through the pages: each goes through the service, and what it refuses is said at the form."""

import threading

import pytest
from streamlit import config

from dashboard import caching, merits, session
from dashboard.components import trust
from dashboard.components.signing import MOST_DRAFTS, DecisionDraft, ReasonDrafts, draft_name, reason_drafts, send
from pipeline.governance.errors import Unavailable
from pipeline.governance.lifecycle import MoveKind, Stage, stage_move
from pipeline.governance.rules.paired import Flip, FlipKind
from support.desks import GRACE, MODEL, REASON, KnownDifferences, build_desk, small_registry, worse
from support.seen import badges, button, frame, links, place_of, texts

PROMOTE = "Move version 2 to Production"


def review(open_page, desk, version="2", **query):
    return open_page(desk, "review", model=MODEL, version=version, **query)


def decide(app, label, reason=REASON, *, accept=False):
    app.text_area[0].input(reason)
    if accept:
        app.checkbox[0].check()
    return button(app, label).click().run()


def test_promotes_with_a_reason(desk, open_page):
    """A confirmed promotion moves the champion and is told in place of the form, under the one number that it has:
    everything that changed, who, why, and where one goes from there; the address shows it again.
    """
    app = decide(review(open_page, desk), PROMOTE)

    assert not app.exception
    assert desk.registry.state(MODEL).champion == 2
    end = desk.history(MODEL)[-1]
    assert (end.reason, desk.registry.version(MODEL, 2).row.tags["signoff.sequence"]) == (REASON, str(end.number))
    assert app.toast[0].value == f"Decision {end.number} is applied"
    assert app.query_params["decided"] == str(end.number)
    for shown in (app, review(open_page, desk, decided=str(end.number))):
        assert [each.value for each in shown.success] == [f"Decision {end.number} is applied."]
        told = texts(shown)
        assert "grace promoted version 2 to Production.\n•  champion 1 → 2\n•  version 2 Staging → Production\n" in told
        assert {"grace (self-declared)", REASON} <= set(told.splitlines())
        assert links(shown)[-3:] == [
            f"Decision {end.number} in History",
            "Predict with version 2",
            "Compare with version 1, which served before",
        ]
        assert not shown.text_area
        assert not any("Blocked" in each for each in badges(shown))
    assert button(button(app, ":blue[Roll back]").click().run(), "Roll back to version 1")


def test_a_receipt_gives_way_to_the_next_move(desk, open_page):
    """After Staging the way to Production is offered; choosing a move, or a number of something else, ends it."""
    app = decide(review(open_page, desk, "3"), "Move version 3 to Staging")
    number = desk.history(MODEL)[-1].number

    assert links(app)[-1] == "Review the move to Production"
    app = app.segmented_control[0].set_value("Archived").run()
    assert (app.query_params.get("decided"), app.query_params["to"]) == (None, "Archived")
    assert button(app, "Move version 3 to Archived")
    for other in ("1", str(number + 1), "no number", "9" * 30):
        assert not review(open_page, desk, "3", decided=other).success
    assert not review(open_page, desk, "2", decided=str(number)).success


def test_the_address_says_which_move_is_open(desk, open_page):
    """Also when Back has changed it, and what was chosen since would say otherwise."""
    app = review(open_page, desk, "3")
    app.segmented_control[0].set_value("Alias").run()
    assert (app.query_params["to"], app.query_params["alias"]) == ("Alias", "challenger")
    app.text_input(key="alias_name").set_value("canary").run()
    assert app.query_params["alias"] == "canary"

    app.query_params.update({"to": "Archived"})
    assert button(app.run(), "Move version 3 to Archived")
    del app.query_params["to"]
    assert button(app.run(), "Move version 3 to Staging")


def test_what_is_so_already_is_no_bad_news(desk, open_page):
    """An address that asks for what somebody has done says so calmly."""
    desk.set_alias(MODEL, "canary", 2, reason=REASON, actor=GRACE)

    app = review(open_page, desk, to="Alias", alias="canary")

    assert [each.value for each in app.info] == ["There is nothing to decide: the registry is like that already."]
    assert not any(":red" in each for each in badges(app))
    assert button(app, "Set alias on version 2").disabled


def test_a_typed_reason_is_kept_until_it_is_signed(desk, open_page, monkeypatch):
    """For another session of the same person, for the same move alone; not in the address; gone after the decision."""
    app = review(open_page, desk)
    app.text_area[0].input("What I think of it so far").run()

    assert "far" not in str(app.query_params)
    again = review(open_page, desk)
    assert again.text_area[0].value == "What I think of it so far"
    assert review(open_page, desk, to="Archived").text_area[0].value == ""
    monkeypatch.setenv("SIGNOFF_ACTOR", "ada")
    session.settings.clear()
    assert review(open_page, desk).text_area[0].value == ""
    monkeypatch.setenv("SIGNOFF_ACTOR", "grace")
    session.settings.clear()

    name = draft_name(MODEL, 2, MoveKind.PRODUCTION)
    assert reason_drafts().text(name) == "What I think of it so far"
    decide(again, PROMOTE)
    assert reason_drafts().text(name) == ""


def test_drafts_are_bounded():
    """In number and in size; an empty one is none."""
    drafts = ReasonDrafts()
    for number in range(MOST_DRAFTS + 1):
        drafts.keep((number,), "x" * 3_000)

    assert (drafts.text((0,)), len(drafts.text((1,)))) == ("", 2_000)
    drafts.keep((1,), "")
    assert drafts.text((1,)) == ""


def test_says_what_will_change(desk, open_page):
    """Before anything is confirmed, each slot that would move is named in words."""
    shown = texts(review(open_page, desk))

    assert "The alias champion moves from version 1 to version 2." in shown
    assert "Version 1 moves from Production to Archived." in shown


@pytest.mark.parametrize("reason", ["", "too short"])
def test_refuses_without_a_reason(desk, open_page, reason):
    """Too short a reason is refused at the form, in the service's sentence, and changes nothing."""
    app = decide(review(open_page, desk), PROMOTE, reason)

    assert "10 to 2,000 characters are allowed" in texts(app)
    assert desk.registry.state(MODEL).champion == 1


def test_a_blocked_move_names_its_gate(desk, open_page):
    """A version that is not in Staging cannot be promoted: the gate says why and the button is disabled.

    What passes is one line, which the address unfolds; every gate says in its tooltip what it is for.
    """
    app = review(open_page, desk, "3", to="Production")

    assert "The version is in no stage; move it to Staging first.\nObserved: None. Required: Staging." in texts(app)
    assert button(app, "Move version 3 to Production").disabled
    assert [each.label for each in app.expander] == ["14 of 15 passed"]
    assert ":red-badge[✕ Blocks] **Reviewed in Staging**" in badges(app)
    assert ":green-badge[✓ Passed] **Signature**" not in badges(app)

    app = review(open_page, desk, "3", to="Production", passed="true")
    signature = next(each for each in app.markdown if each.value == ":green-badge[✓ Passed] **Signature**")
    assert signature.help == "The model says which columns it takes and what it answers."


def test_warnings_ask_for_an_acceptance(open_page):
    """A warning is refused until it is accepted, and then recorded as accepted."""
    desk = build_desk(comparer=KnownDifferences([worse("f1_macro")]))
    for version, stage in ((1, Stage.STAGING), (1, Stage.PRODUCTION), (2, Stage.STAGING)):
        desk.promote(MODEL, version, stage, reason=REASON, actor=GRACE, accept_warnings=True)

    app = decide(review(open_page, desk), PROMOTE)
    assert "Accept the warnings to go on." in texts(app)
    assert desk.registry.state(MODEL).champion == 1

    decide(app, PROMOTE, accept=True)
    assert desk.registry.state(MODEL).champion == 2
    decided = next(each for each in reversed(desk.history(MODEL)) if "accepted_warnings" in each.content)
    assert decided.content["accepted_warnings"] == ["not_worse_than_incumbent"]


def test_stale_evidence_is_refused(desk, open_page):
    """What changed since the page was drawn refuses the decision; the reason stays in the form."""
    app = review(open_page, desk)
    desk.registry.set_tags(MODEL, 2, {"owner": "somebody else"})

    decide(app, PROMOTE)

    assert "Nobody decided anything, but the version has changed since you looked" in texts(app)
    assert app.text_area[0].value == REASON
    assert desk.registry.state(MODEL).champion == 1


def test_files_that_changed_are_refused(desk, open_page):
    """Since the page was drawn; from then on the move is blocked, and the sentence says what to do."""
    app = review(open_page, desk)
    desk.registry.write_file(MODEL, 2, "model.skops", content=b"other bytes")

    decide(app, PROMOTE)

    assert "the files of version 2 were found changed" in texts(app).casefold()
    assert "register what is there as a new version" in texts(app)
    assert app.button[-1].disabled
    assert desk.registry.state(MODEL).champion == 1


def test_the_loser_reads_who_was_faster(desk, open_page):
    """Of two who looked at the same state, the second reads what the first did, when and why; the reason stays, and the
    review is new. Told until the next attempt, however often the page is drawn.
    """
    app = review(open_page, desk)
    desk.promote(MODEL, 2, Stage.ARCHIVED, reason="It never was worth a look.", actor=GRACE)

    app = decide(app, PROMOTE)
    for shown in (app, app.run()):
        assert "Somebody was faster. Your reason is kept; the review is new" in texts(shown)
        assert "UTC: grace archived version 2.\nversion 2 Staging → Archived\nReason: It never was worth a look." in (
            texts(shown)
        )
        assert f"No. {desk.history(MODEL)[-2].number} in History" in links(shown)
        assert f"Your reason, which is kept for a day:\n{REASON}" in texts(shown)
        assert "The version is in Archived; move it to Staging first." in texts(shown)
    assert "faster" not in texts(app.segmented_control[0].set_value("Staging").run())


def test_a_refusal_is_told_where_no_move_is_chosen_any_more(desk, open_page):
    """Of two tabs that promote the same version the second is told, although the version serves by now."""
    app = review(open_page, desk)
    desk.promote(MODEL, 2, Stage.PRODUCTION, reason=REASON, actor=GRACE)

    decide(app, PROMOTE)

    assert "grace promoted version 2 to Production" in texts(app)
    assert "This version serves. Choose a move to see its gates." in [caption.value for caption in app.caption]


def test_the_same_draft_twice_is_one_decision(desk, open_page):
    """The idempotency key belongs to the form as it was drawn, and is renewed after a success."""
    app = review(open_page, desk)
    place = f"key/production/{MODEL}/2/None"
    key = app.session_state[place]

    decide(app, PROMOTE)

    decided = [each for each in desk.ledger.events(model=MODEL) if each.event.key == key]
    assert len(decided) == 1
    assert place not in app.session_state or app.session_state[place] != key


def test_a_decision_whose_visitor_has_left_is_seen_by_others(desk, open_page):
    """Streamlit stops the callback of a visitor who leaves: what others see must not depend on its last lines."""
    open_page(desk)
    before = session.evidence(MODEL, 2)
    found = session.review(stage_move(MODEL, 2, Stage.PRODUCTION), None)
    draft = DecisionDraft(found.move, found.evidence.digest, found.state, recompute=False, key="left")
    send(draft, REASON, accept_warnings=False)

    assert before.content["stage"] == "Staging"
    assert session.evidence(MODEL, 2).content["stage"] == "Production"


def test_an_unknown_end_keeps_the_key(desk, open_page):
    """Where the registry stops answering, trying again is the same request."""
    app = review(open_page, desk)
    key = app.session_state[f"key/production/{MODEL}/2/None"]
    desk.registry.down = True

    decide(app, PROMOTE)

    assert app.session_state[f"key/production/{MODEL}/2/None"] == key


def test_sets_and_removes_a_free_alias(desk, open_page):
    """An alias of one's own is set on a version and taken away again."""
    decide(review(open_page, desk, to="Alias", alias="canary"), "Set alias on version 2")
    assert desk.registry.state(MODEL).aliases["canary"] == 2

    decide(review(open_page, desk, to="Remove alias"), "Remove alias")
    assert "canary" not in desk.registry.state(MODEL).aliases


def test_an_impossible_alias_is_one_sentence(desk, open_page):
    """A name that cannot be an alias is refused where it was typed; the figures of the version stay beside it."""
    app = review(open_page, desk, to="Alias", alias="v1")

    assert not app.exception
    assert "reserved by MLflow" in texts(app)
    assert tuple(frame(app, "Metric").columns[[1, 2]]) == ("Version 2", "Champion 1")


def test_a_champion_that_has_just_gone_leaves_the_figures(desk, open_page):
    """The list of a moment ago still names it: the version is shown without what it would be compared with."""
    app = review(open_page, desk)
    assert "Champion 1" in frame(app, "Metric").columns
    desk.registry.delete_version(MODEL, 1)
    session.evidence.clear()
    merits.merit.clear()

    app.run()

    assert not app.exception
    assert "Nothing is compared: the champion, version 1, or its rows cannot be read." in [
        each.value for each in app.caption
    ]
    assert "Version 2" in frame(app, "Metric").columns
    assert "Champion 1" not in frame(app, "Metric").columns


def test_rolls_back_from_the_champions_page(desk, open_page):
    """The champion's page offers the way back to the one before it."""
    desk.promote(MODEL, 2, Stage.PRODUCTION, reason=REASON, actor=GRACE, accept_warnings=True)

    app = review(open_page, desk, to="Roll back")
    assert app.title[0].value.startswith("Version 2 of ")  # the page stays about the champion
    assert app.header[0].value == "Version 1, to which a rollback returns"
    assert tuple(frame(app, "Metric").columns[[1, 2]]) == ("Version 1", "Champion 2")

    decide(app, "Roll back to version 1")

    assert desk.registry.state(MODEL).champion == 1


def test_a_rollback_shows_what_gets_worse_and_which_answers_change(open_page):
    """Beside the figures of the version to return to, before anything is signed."""
    flip = Flip(7, {}, "yes", "yes", "no", FlipKind.LOST)
    desk = build_desk(comparer=KnownDifferences([worse("accuracy")], flipped=[flip]))
    for version in (1, 2):
        for stage in (Stage.STAGING, Stage.PRODUCTION):
            desk.promote(MODEL, version, stage, reason=REASON, actor=GRACE, accept_warnings=True)

    app = review(open_page, desk, to="Roll back")

    assert any(":red-badge[Worse in 1 of 1]" in each and "the champion, version 2" in each for each in badges(app))
    assert {each.label: each.delta for each in app.metric}["Accuracy"] == "\N{MINUS SIGN}0.0500 worse"
    assert "Predictions that change" in [each.value for each in app.header]
    assert any(":green-badge[2 become right] :red-badge[1 become wrong]" in each for each in badges(app))
    [row] = frame(app, "What it means").to_dict("records")
    assert row == {"Row": 7, "What it means": "becomes wrong", "Actual": "yes", "Version 2": "yes", "Version 1": "no"}
    beside_the_form = [table.value for column in app.columns for table in column.dataframe]
    assert not any("What it means" in table for table in beside_the_form)  # below it, as wide as the page


def test_a_rollback_does_not_wait_for_the_predictions_that_change(open_page):
    """Where they cannot be read the page says so, and the form is there."""
    comparer = KnownDifferences([worse("accuracy")])
    desk = build_desk(comparer=comparer)
    for version in (1, 2):
        for stage in (Stage.STAGING, Stage.PRODUCTION):
            desk.promote(MODEL, version, stage, reason=REASON, actor=GRACE, accept_warnings=True)
    comparer.refusal = Unavailable("the rows cannot be read")

    app = review(open_page, desk, to="Roll back")

    assert "The rows cannot be read." in texts(app)
    assert not button(app, "Roll back to version 1").disabled
    assert "Version 1" in frame(app, "Metric").columns


ROLLED_BACK = ":orange-badge[:material/warning: Rolled back]"


def test_a_version_that_was_rolled_back_says_so_and_why(open_page):
    """Until it serves again; beside every move its figures stand with their differences to the champion's."""
    desk = build_desk(comparer=KnownDifferences([worse("accuracy")]))
    for version in (1, 2):
        for stage in (Stage.STAGING, Stage.PRODUCTION):
            desk.promote(MODEL, version, stage, reason=REASON, actor=GRACE, accept_warnings=True)
    desk.rollback(MODEL, reason="Answers take too long.", actor=GRACE, accept_warnings=True)

    app = review(open_page, desk, to="Staging")
    assert ROLLED_BACK in badges(app)
    assert "grace (self-declared) rolled back from version 2 to 1.\nReason: Answers take too long." in texts(app)
    assert any("Difference on the same rows" in table.value for table in app.dataframe)

    for stage in (Stage.STAGING, Stage.PRODUCTION):
        desk.promote(MODEL, 2, stage, reason=REASON, actor=GRACE, accept_warnings=True)
    caching.forget_reads()
    assert ROLLED_BACK not in badges(review(open_page, desk))


@pytest.mark.parametrize("address", [None, "0.0.0.0"])  # None: Streamlit listens everywhere
def test_a_self_declared_name_signs_on_this_machine_only(desk, open_page, address):
    """Where others can reach the server, a name of one's own choice decides nothing."""
    config.set_option("server.address", address)

    app = decide(review(open_page, desk), PROMOTE)

    assert "a self-declared identity decides only on this machine" in texts(app)
    assert desk.registry.state(MODEL).champion == 1


def move_champion(desk, version):
    """By another way, the stages too: an alias that moved alone is not adopted."""
    desk.registry.set_alias(MODEL, "champion", version)
    for each in (1, 2, 3):
        desk.registry.set_stage(MODEL, each, Stage.PRODUCTION if each == version else Stage.ARCHIVED)


@pytest.mark.parametrize(
    ("label", "champion", "event"),
    [
        ("Accept what is there now", 3, "adopted"),
        ("Undo it, back to the record", 1, "reverted"),
    ],
)
def test_ends_an_out_of_band_change(desk, open_page, label, champion, event):
    """What moved by another way is adopted or reverted with a reason, and then there is nothing left to end."""
    move_champion(desk, 3)
    app = open_page(desk, "history", model=MODEL)
    app.text_area[0].input(REASON)

    button(app, label).click().run()

    assert not app.exception
    assert desk.registry.state(MODEL).champion == champion
    assert desk.history(MODEL)[-1].type == event
    assert desk.differences(MODEL) == []


@pytest.mark.parametrize("label", ["Accept what is there now", "Undo it, back to the record"])
def test_what_moved_after_the_form_was_drawn_is_not_signed(desk, open_page, label):
    """The form takes back what was on the screen; the reason stays, and a second click is about what is there now."""
    move_champion(desk, 3)
    app = open_page(desk, "history", model=MODEL)
    app.text_area[0].input(REASON)
    move_champion(desk, 2)

    button(app, label).click().run()

    assert any("Something has changed" in each for each in badges(app))
    assert "look at the differences again" in texts(app)
    assert desk.registry.state(MODEL).champion == 2
    assert desk.history(MODEL)[-1].type == "denied"
    assert frame(app, "Registry")["Registry"].tolist()[0] == "2"
    assert app.text_area[0].value == REASON
    button(app, label).click().run()
    assert desk.differences(MODEL) == []


def test_ending_without_a_reason_is_refused(desk, open_page):
    """Adopting needs a reason too."""
    desk.registry.set_alias(MODEL, "champion", 3)
    app = open_page(desk, "history", model=MODEL)

    button(app, "Accept what is there now").click().run()

    assert "10 to 2,000 characters are allowed" in texts(app)
    assert desk.differences(MODEL)


def test_nothing_that_comes_or_goes_moves_the_form(desk, open_page):
    """The browser would make it anew, and what is being typed there would be lost."""
    quiet = review(open_page, desk)
    desk.registry.set_alias(MODEL, "champion", 3)
    caching.forget_reads()

    app = review(open_page, desk)

    assert any("Changed outside of this desk" in each for each in badges(app)), "a box above the form"
    assert any("Blocks" in each for each in badges(app)), "a gate above the form"
    assert place_of(app, button(app, PROMOTE)) == place_of(quiet, button(quiet, PROMOTE))


def test_a_look_that_is_late_does_not_move_the_form_of_archiving(desk, open_page, monkeypatch):
    """The timer that waits for it is gone when it has ended."""
    arrived, there = threading.Event(), desk.registry.files

    def slow_to_look(record, **options):
        if threading.current_thread().name.startswith("look"):
            assert arrived.wait(60)
        return there(record, **options)

    monkeypatch.setattr(desk.registry, "files", slow_to_look)
    monkeypatch.setattr(trust, "LOOK_SECONDS", 0.1)
    waits = selected(open_page(desk, "versions", model=MODEL), [0, 1])
    assert {word for [word] in frame(waits, "Trust")["Trust"]} == {trust.NOT_LOOKED_AT}
    arrived.set()
    monkeypatch.setattr(trust, "LOOK_SECONDS", 60)
    done = selected(open_page(desk, "versions", model=MODEL), [0, 1])
    assert trust.NOT_LOOKED_AT not in {word for [word] in frame(done, "Trust")["Trust"]}

    label = "Archive 2 versions"
    assert place_of(waits, button(waits, label)) == place_of(done, button(done, label))


def test_an_out_of_band_change_blocks_the_review(desk, open_page):
    """Until somebody has ended it, the slot takes no other decision."""
    desk.registry.set_alias(MODEL, "champion", 3)

    app = review(open_page, desk)

    assert "Changed outside of this desk: the alias champion is on version 3" in texts(app)
    assert button(app, PROMOTE).disabled


def test_a_page_of_old_versions_offers_them_back(open_page):
    """An archived version can be brought to Staging again."""
    desk = build_desk(small_registry(versions=1))
    desk.promote(MODEL, 1, Stage.ARCHIVED, reason=REASON, actor=GRACE)

    decide(review(open_page, desk, "1"), "Move version 1 to Staging")

    assert desk.registry.state(MODEL).stages[1] is Stage.STAGING


def selected(app, rows):
    """The versions page with rows selected, the newest version first."""
    app.session_state[f"versions/{MODEL}"] = {"selection": {"rows": rows, "columns": [], "cells": []}}
    app.session_state["archive"] = True
    return app.run()


def test_archives_several_versions_in_one_form(desk, open_page):
    """What cannot be is named before anything is signed; each of the others is a decision of its own, which the receipt
    lists with what has become of it.
    """
    app = selected(open_page(desk, "versions", model=MODEL), [0, 1, 2])
    shown = texts(app)
    assert "•  Version 2 moves from Staging to Archived.\n•  Version 3 moves from no stage to Archived." in shown
    assert "•  Version 1: It serves as champion: promote a successor or roll back first." in shown
    refused = decide(app, "Archive 2 versions", "too short")
    assert "10 to 2,000 characters are allowed" in texts(refused)
    assert desk.registry.state(MODEL).stages[3] is Stage.NONE

    desk.registry.set_tags(MODEL, 3, {"owner": "somebody else"})  # seen by nobody who signs
    app = decide(app, "Archive 2 versions")

    assert not app.exception
    assert [desk.registry.state(MODEL).stages[version] for version in (2, 3)] == [Stage.ARCHIVED, Stage.NONE]
    number = next(each.number for each in reversed(desk.history(MODEL)) if each.type == "applied")
    assert app.toast[0].value == "1 of 2 versions archived"
    assert [each.value for each in app.success] == ["1 version archived."]
    assert f"Decision {number} in History" in links(app)
    assert "Version 3: Something has changed: evidence: the version has changed since you looked" in texts(app)
    assert not app.text_area
    assert app.query_params["archived"] == str(number)


def test_the_receipt_of_archiving_survives_a_reload(desk, open_page):
    """The address names the decisions, and the record has what they did; another model's are not shown."""
    app = decide(selected(open_page(desk, "versions", model=MODEL), [0, 1]), "Archive 2 versions")
    named = app.query_params["archived"]
    again = open_page(desk, "versions", model=MODEL, archived=f"{named},1,x,{'9' * 30}")

    assert [each.value for each in again.success] == ["2 versions archived."]
    assert "version 2 Staging → Archived" in texts(again)
    assert f"Decision {named.split(',')[0]} in History" in links(again)
    assert "archived" not in selected(again, [0]).query_params


def test_archiving_ends_where_the_registry_does_not_answer(desk, open_page):
    """What was not tried is said so."""
    app = selected(open_page(desk, "versions", model=MODEL), [0, 1])
    desk.registry.down = True

    app = decide(app, "Archive 2 versions")

    assert "0 of 2 versions archived" in [each.value for each in app.toast]
