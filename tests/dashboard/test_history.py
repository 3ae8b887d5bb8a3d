"""The history page: one line per decision, and what was seen when it was made."""

import io
import json
import sqlite3
import zipfile
from contextlib import closing
from datetime import timedelta

import pytest
from streamlit import config

from dashboard.components import history_lines
from dashboard.history.champions import timeline
from dashboard.history.integrity import exported
from dashboard.history.one_event import packed
from pipeline.adapters.ledger.sql import SqlLedger
from pipeline.governance.errors import Refused, Unavailable
from pipeline.governance.lifecycle import Slot, Stage
from pipeline.governance.record.history import Period
from pipeline.governance.record.ledger import Event, EventType, SlotChange
from pipeline.governance.record.telling import event_word
from support.desks import GRACE, MODEL, REASON, TickingClock, build_desk, registered_again, small_registry
from support.in_memory import EPOCH
from support.seen import badges, button, frame, label_of, markdown_sources, texts


class FixedId:
    """A registry id that was chosen."""

    def known(self):
        return "registry-1"

    keep = known


def opened(open_page, desk, **query):
    return open_page(desk, "history", model=MODEL, **query)


def test_an_intent_and_its_end_are_one_line(desk, open_page):
    """What took two events is one decision for a reader: who, when, from what to what, why."""
    table = frame(opened(open_page, desk), "Change")

    assert table["Change"].tolist() == [
        "version 2 no stage → Staging",
        "champion none → 1; version 1 Staging → Production",
        "version 1 no stage → Staging",
        "no alias or stage yet",
    ]
    assert table["Who"].tolist()[0] == "grace (self-declared)"
    assert table["Reason"].tolist()[0] == REASON


def test_refusals_are_lines_of_their_own(desk, open_page):
    """What was refused is in the history, with the reason of the refusal."""
    with pytest.raises(Refused):
        desk.promote(MODEL, 3, Stage.PRODUCTION, reason=REASON, actor=GRACE)

    table = frame(opened(open_page, desk, kind="Refusals"), "Change")

    assert len(table) == 1
    assert "Reviewed in Staging" in table["Reason"].tolist()[0]


def test_an_event_shows_what_the_approver_saw(desk, open_page):
    """A link to an event opens its gates, its evidence, and the difference to what is there now."""
    number = next(each.sequence for each in desk.history(MODEL) if each.version == 2 and each.type == "applied")
    app = opened(open_page, desk, event=str(number))

    changed = frame(app, "Then")
    assert changed["Fact"].tolist()[0] == "stage"
    assert changed[["Then", "Now"]].to_numpy().tolist()[0] == ["None", "Staging"]
    assert "Version is ready" in frame(app, "Gate")["Gate"].tolist()
    assert any("The files are those of the decision" in each for each in badges(app))


def test_changed_files_are_seen(desk, open_page):
    """Bytes that are not those of the decision are said in words."""
    number = next(each.sequence for each in desk.history(MODEL) if each.version == 2 and each.type == "applied")
    desk.registry.write_file(MODEL, 2, "model.skops", content=b"other bytes")

    app = opened(open_page, desk, event=str(number))

    assert any("The files are not those of the decision" in each for each in badges(app))

    changed, same = (each.value for each in app.dataframe if "Then" in each.value)
    assert {"fingerprint of the files", "file model.skops"} <= set(changed["Fact"])
    assert "The decision itself changed stage. 2 of " in texts(app)
    assert " facts are different now: fingerprint of the files, file model.skops." in texts(app)
    assert len(same.set_index("Fact").loc["evaluation", "Then"]) == 12


@pytest.mark.parametrize("gone", [False, True])
def test_an_alarm_names_both_digests(desk, open_page, gone):
    """Those recorded and those that are there now."""
    recorded = desk.show(MODEL, 1).file_digest
    desk.registry._models[MODEL].files[1] = {} if gone else {"MLmodel": b"other"}
    desk.reconcile(MODEL)

    table = frame(opened(open_page, desk, kind="Other"), "Change")
    shown = next(row["Change"] for row in table.to_dict("records") if list(row["Event"]) == ["! Files changed"])
    now = desk.show(MODEL, 1).file_digest
    number = next(each.sequence for each in desk.history(MODEL) if each.type == "tampering")
    codes = [each.value for each in opened(open_page, desk, event=str(number)).code]
    assert {recorded} | ({now} - {None}) <= set(codes)  # whole, to be copied
    assert shown == f"fingerprint of the files {recorded[:12]} → {'gone' if gone else now[:12]}"


def test_verify_says_clean_with_the_number_of_events(desk, open_page):
    """A clean ledger is said to be clean, and how many events that means."""
    app = opened(open_page, desk)

    button(app, "Verify").click().run()

    assert "7 events; the registry agrees with them." in texts(app)


def test_verify_names_problems(desk, open_page):
    """A difference is a problem with its own sentence."""
    desk.registry.set_alias(MODEL, "champion", 3)
    app = opened(open_page, desk)

    button(app, "Verify").click().run()

    said = "The champion was changed outside of this desk: the registry says version 3, the record says version 1."
    assert f"{MODEL}: {said}" in texts(app)
    assert "out_of_band" not in texts(app)


def test_who_was_champion_is_asked_by_time(desk, open_page):
    """Before the ledger begins nothing is claimed."""
    now = opened(open_page, desk)
    before = opened(open_page, desk, at="2025-12-31T00:00")

    assert "Version 1 at" in texts(now)
    assert (
        "2025-12-31 00:00 UTC: The ledger begins at 2026-01-01 00:00:01 UTC for this model: "
        "nothing is known about before." in texts(before)
    )
    assert "Nobody" not in texts(before)


def test_the_export_is_made_at_a_click(desk, open_page):
    """A page that is drawn reads no evidence; the document has the stored rows and what they quote."""
    ledger, asked = desk.ledger, []
    kept = ledger.evidence
    ledger.evidence = lambda digest: asked.append(digest) or kept(digest)  # type: ignore[func-returns-value]

    app = opened(open_page, desk)
    drawn, document = list(asked), json.loads(exported(desk, MODEL))

    assert [each.proto.label for each in app.get("download_button")] == ["Export as JSON"]
    assert drawn == []
    assert [row["body"] for row in document["events"]] == [stored.body for stored in ledger.events()]
    assert asked == list(document["evidence"]) != []


def test_an_address_of_no_event_is_told(desk, open_page):
    """Not passed over; without a number there is nothing to tell."""
    told = [[each.value for each in opened(open_page, desk, **asked).info] for asked in ({"event": "999999"}, {})]

    assert told == [["The record has no event with the number of the address."], []]


def test_an_opened_event_can_be_taken_home(desk, open_page):
    """As the zip of `signoff export`, under the number of the decision; made at a click."""
    app = opened(open_page, desk, event="7")
    with zipfile.ZipFile(io.BytesIO(packed(desk, 6))) as archive:
        manifest = json.loads(archive.read("manifest.json"))

    assert [each.proto.label for each in app.get("download_button")] == ["Evidence pack", "Export as JSON"]
    assert (manifest["decision"], manifest["events"]) == (6, [6, 7])


def test_evidence_that_was_changed_in_the_ledger_is_not_shown(desk, open_page):
    """What the event quotes is a digest: another text is not what the approver saw."""
    digest = desk.event(6).evidence
    desk.ledger._evidence[digest] = desk.evidence(digest).replace("0.92", "0.99")
    app = opened(open_page, desk, event="6")

    assert "it was changed after it was written" in texts(app)
    assert not any("Then" in each.value for each in app.dataframe)


def test_a_number_that_was_given_out_again_is_said(desk, open_page):
    """Above the event, in its facts, on the time line; and no other version is shown as what is there now."""
    number = next(each.sequence for each in desk.history(MODEL) if each.version == 1 and each.type == "applied")
    registered_again(desk)
    for stage in (Stage.STAGING, Stage.PRODUCTION):
        desk.promote(MODEL, 1, stage, reason=REASON, actor=GRACE)

    app = opened(open_page, desk, event=str(number))
    names = timeline(desk.champions(MODEL), EPOCH).data[0].y

    assert "Number 1 of obesity_classifier was given out again: its versions were registered " in texts(app)
    assert "2026-01-01 00:01 UTC" in texts(app)
    assert (
        "The version was deleted; what has its number now was registered at 2026-01-01 00:04 UTC. It is another "
        "version: this decision says nothing about it."
    ) in texts(app)
    assert {"Then", "Another version now"} < set(frame(app, "Then"))
    assert not any("Now" in each.value for each in app.dataframe)
    assert names == ("Version 1 of 2026-01-01 00:01 UTC", "Version 1 of 2026-01-01 00:04 UTC")


def test_a_champion_of_another_time_gives_no_name_to_its_number(desk, open_page):
    """Who made a deleted version champion has not signed the one that has its number now."""
    periods, entries = desk.champions(MODEL), desk.history(MODEL)
    registered = periods[-1].created_at

    assert "by grace (self-declared)" in history_lines.since(1, registered, periods=periods, entries=entries)
    assert history_lines.since(1, "another time", periods=periods, entries=entries) == "Champion, not set by this desk."


def test_a_model_that_only_the_ledger_knows_is_listed(desk, open_page):
    """After a model was deleted its history is still there."""
    del desk.registry._models[MODEL]

    app = opened(open_page, desk)

    assert not app.exception
    assert MODEL in app.selectbox[0].options


def test_an_unfinished_decision_is_pending():
    """An intent without an end is a line of its own, so that nobody takes it for applied."""
    desk = build_desk(small_registry(versions=1))
    desk.take_over()
    desk.registry.set_stage = unanswered
    with pytest.raises(Unavailable):
        desk.promote(MODEL, 1, Stage.STAGING, reason=REASON, actor=GRACE)
    lines = desk.history_page(MODEL).lines

    assert [event_word(entry) for entry, _ in lines] == ["… Pending", "· Taken over"]


def unanswered(*_arguments):
    raise Unavailable("the registry does not answer")


def test_a_long_history_is_shown_page_by_page(desk, open_page):
    """The newest lines first, with a way to the older ones and back; the address of an old event opens its page."""
    slot = Slot.of_alias(MODEL, "other")
    with desk.ledger.transaction() as transaction:
        for _ in range(60):
            change = SlotChange(slot, None, None, None)
            transaction.append(
                Event(EventType.OUT_OF_BAND, MODEL, EPOCH, (change,), content={"subject": {"model": MODEL}})
            )

    app = opened(open_page, desk)
    assert frame(app, "Change")["No."].tolist() == list(range(67, 17, -1))
    app = button(app, "Older").click().run()
    assert frame(app, "Change")["No."].tolist() == [*range(17, 7, -1), 6, 4, 2, 1]
    assert [each.label for each in app.button if each.label in ("Newest", "Older")] == ["Newest"]
    app = button(app, "Newest").click().run()
    assert frame(app, "Change")["No."].tolist()[0] == 67

    app = opened(open_page, desk, event="6")
    assert frame(app, "Change")["No."].tolist() == [6, 4, 2, 1]
    assert "Decision 6" in [each.value for each in app.header]
    assert not opened(open_page, desk, before="9" * 30, event="no number").exception


def test_a_damaged_event_is_shown_as_such(desk, open_page, tmp_path):
    """Among the others, and the page stays."""
    ledger = SqlLedger(f"sqlite:///{tmp_path / 'ledger.db'}", registry=FixedId(), clock=TickingClock())
    copied = build_desk(small_registry(), ledger)
    for version in (1, 2):
        copied.promote(MODEL, version, Stage.STAGING, reason=REASON, actor=GRACE)
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
        connection.execute("DROP TRIGGER ledger_event_no_update")
        connection.execute("UPDATE ledger_event SET body = '17' WHERE sequence = 3")
        connection.commit()

    app = opened(open_page, copied, event="3")

    assert not app.exception
    assert [list(each) for each in frame(app, "Change")["Event"]] == [
        ["✓ To Staging"],
        ["! Unreadable"],
        ["· Taken over"],
    ]
    assert "This event cannot be read" in texts(app)


def test_reconcile_records_what_moved(desk, open_page):
    """One click, and the out-of-band change is in the ledger; a second one finds nothing new."""
    desk.registry.set_alias(MODEL, "champion", 3)
    app = button(opened(open_page, desk), "Reconcile").click().run()

    assert [each.value for each in app.toast] == ["1 event recorded"]
    assert desk.history(MODEL)[-1].type == "out_of_band"
    assert [each.value for each in button(app, "Reconcile").click().run().toast] == ["Nothing to finish or record"]


@pytest.mark.parametrize("label", ["Verify", "Reconcile"])
def test_a_click_on_a_registry_that_went_down_is_told(desk, open_page, label):
    """A sentence, not a traceback; the page stays, what an earlier click found is gone, and a success takes it away."""
    app = button(opened(open_page, desk), "Verify").click().run()
    desk.registry.down = True
    button(app, label).click().run()

    assert not app.exception
    assert any("Not available" in each for each in badges(app))
    assert "the registry does not answer" in texts(app)
    assert "the registry agrees" not in texts(app)
    assert "the registry does not answer" in texts(app.run())
    assert not app.toast
    desk.registry.down = False
    assert "the registry does not answer" not in texts(button(app, label).click().run())


@pytest.mark.parametrize("label", ["Verify", "Reconcile"])
def test_a_failure_is_no_markdown(desk, open_page, label):
    """Its sentence may hold a name of anybody's making."""
    app, sentence = opened(open_page, desk), "alias: [click](https://example.org) **now**"

    def fail(_model):
        raise Unavailable(sentence)

    desk.registry.state = fail
    button(app, label).click().run()

    assert sentence in texts(app)
    assert sentence not in markdown_sources(app)


@pytest.mark.parametrize("address", [None, "0.0.0.0"])  # None: Streamlit listens everywhere
def test_only_this_machine_reconciles(desk, open_page, address):
    """Where others can reach the server a click records and finishes nothing, and the page says why."""
    desk.registry.set_alias(MODEL, "champion", 3)
    app = opened(open_page, desk)
    before = desk.history(MODEL)
    config.set_option("server.address", address)

    button(app, "Reconcile").click().run()

    assert not app.exception
    assert any("Read only" in each for each in badges(app))
    assert "decides only on this machine" in texts(app)
    assert button(app, "Reconcile").disabled
    assert not button(app, "Verify").disabled
    assert desk.history(MODEL) == before


def test_the_address_narrows_the_history(desk, open_page):
    """Person, version, period and text; a link to a decision that they leave out opens it all the same."""
    desk.set_alias(MODEL, "mine", 2, reason=REASON, actor=GRACE)
    numbers = {
        name: frame(opened(open_page, desk, **{name: value}), "Change")["No."].tolist()
        for name, value in {"who": "GRACE", "concerns": "1", "text": "mine 00:00", "until": "2025-12-31"}.items()
    }
    app = opened(open_page, desk, concerns="1", event="8")

    assert numbers == {"who": [8, 6, 4, 2], "concerns": [4, 2], "text": [8], "until": []}
    assert frame(app, "Change")["No."].tolist() == [4, 2]
    assert "Decision 8" in [each.value for each in app.header]
    assert app.query_params["event"] == "8"
    assert frame(opened(open_page, desk, concerns="no number"), "Change")["No."].tolist() == []


def test_an_event_says_what_happened(desk, open_page):
    """When to the second, who, what, every change and why; by the number of the decision and by that of its end."""
    desk.promote(MODEL, 2, Stage.PRODUCTION, reason=REASON, actor=GRACE, accept_warnings=True)
    app, same = opened(open_page, desk, event="8"), opened(open_page, desk, event="9")

    assert "UTC: grace promoted version 2 to Production." in texts(app)
    assert "champion 1 → 2\n•  version 2 Staging → Production\n•  version 1 Production → Archived" in texts(app)
    assert f"Reason: {REASON}" in texts(app)
    assert "Decision 8" in [each.value for each in same.header]
    assert same.query_params["event"] == "8"


@pytest.mark.parametrize(
    "page", ["overview", "versions", "review", "compare", "explain", "predict", "monitoring", "card", "history"]
)
def test_each_page_says_that_the_champion_was_changed_outside(desk, open_page, page):
    """In plain words, in red, and the version that is in the champion's place is not called trusted."""
    desk.registry.set_alias(MODEL, "champion", 2)
    app = open_page(desk, page, model=MODEL, version="2", versions="2,3")

    assert not app.exception
    assert not any("Files as approved" in each for each in badges(app))
    assert (
        "The champion was changed outside of this desk: the registry says version 2, the record says version 1."
    ) in texts(app)
    assert any("Changed outside of this desk" in each and "red" in each for each in badges(app))


def test_minutes_in_a_year_are_seen_on_the_time_line():
    """A short bar has an edge of some pixels in its own colour; a long one does not reach into the time of another."""
    start = EPOCH - timedelta(days=365)
    end = start + timedelta(minutes=2)
    (bars,) = timeline([Period(1, start, end, 1), Period(2, end, None, 3)], EPOCH).data

    short, long = bars.marker.line.width
    assert short >= 3
    assert long == 0
    assert bars.marker.line.color == bars.marker.color


def test_the_time_line_shows_what_was_changed_outside(desk):
    """As a bar of its own, from when it was seen until somebody ended it."""
    desk.registry.set_alias(MODEL, "champion", 2)
    desk.reconcile(MODEL)
    desk.revert(MODEL, reason=REASON, actor=GRACE)
    decided, outside = timeline(desk.champions(MODEL), EPOCH, desk.outside_periods(MODEL, 5)).data

    assert (decided.name, outside.name, outside.y) == ("By a decision", "Outside of this desk", ("Version 2",))
    assert "until 2026-" in outside.hovertemplate[0]


def test_what_the_approver_saw_is_shown_without_the_registry(desk, open_page):
    """The evidence is the ledger's own; only what is there now needs a registry that answers."""
    desk.registry.down = True
    app = opened(open_page, desk, event="6")

    assert not app.exception
    assert "this is what the approver saw, with nothing beside it" in texts(app)
    assert frame(app, "Then").set_index("Fact").loc["stage", "Then"] == "None"


def test_a_page_without_the_registry_leads_to_the_history(desk, open_page):
    """The record is ours; of a desk that has none nothing is promised."""
    desk.registry.down = True
    app = open_page(desk, "review", model=MODEL, version="1")

    assert not app.exception
    assert [label_of(link) for link in app.main.get("page_link")] == ["History is there all the same"]
