"""The four states of a version, by what the ledger holds about its bytes; no model is loaded."""

from dataclasses import replace

import pytest

from pipeline.governance.errors import Blocked
from pipeline.governance.lifecycle import Slot, Stage
from pipeline.governance.record.evidence import Evidence
from pipeline.governance.record.ledger import Event, EventType, SlotChange
from pipeline.governance.record.standing import LedgerView, RecordedFiles
from pipeline.serving.trust import Trust, judge
from support.desks import GRACE, MODEL, REASON, build_desk, small_registry


@pytest.fixture
def registry():
    return small_registry()


@pytest.fixture
def service(registry):
    return build_desk(registry)


def promote(service, version, *stages) -> None:
    for stage in stages or (Stage.STAGING, Stage.PRODUCTION):
        service.promote(MODEL, version, stage, reason=REASON, actor=GRACE, accept_warnings=True)


def view(service) -> LedgerView:
    return LedgerView.read(service.ledger, MODEL)


def state(service, version):
    return judge(service.show(MODEL, version), view(service))


def test_nobody_has_looked_yet(service):
    """A model that the ledger does not know is in review: nothing was claimed about it."""
    assert not view(service).known
    assert (state(service, 1).state, state(service, 1).reason) == (Trust.IN_REVIEW, "nobody has approved it yet")
    assert state(service, 1).usable


def test_the_champion_is_trusted(service):
    """By the decision that made it so, over the bytes that it named."""
    promote(service, 1)
    found = state(service, 1)
    assert (found.state, found.digest, found.reason) == (Trust.TRUSTED, service.show(MODEL, 1).file_digest, "")
    assert view(service).champion == 1


def test_a_champion_that_was_taken_over_is_trusted(service, registry):
    """What the first look found is recorded, digest included."""
    registry.set_alias(MODEL, "champion", 2)
    service.take_over()
    assert [state(service, version).state for version in (1, 2)] == [Trust.IN_REVIEW, Trust.TRUSTED]


def test_staging_is_no_approval(service):
    """Its bytes are recorded all the same: changed ones are tampered with."""
    promote(service, 1, Stage.STAGING)
    assert state(service, 1).state is Trust.IN_REVIEW
    service.registry.write_file(MODEL, 1, "model.skops", content=b"other")
    assert state(service, 1).state is Trust.TAMPERED


def test_a_former_champion_stays_trusted(service):
    """Its bytes were approved once and are the same."""
    promote(service, 1)
    promote(service, 2)
    assert [state(service, version).state for version in (1, 2, 3)] == [Trust.TRUSTED, Trust.TRUSTED, Trust.IN_REVIEW]


def test_changed_bytes_of_the_champion(service, registry):
    """Tampered, with both digests in the sentence; no alias is set on the changed bytes."""
    promote(service, 1)
    recorded = service.show(MODEL, 1).file_digest
    registry.write_file(MODEL, 1, "model.skops", content=b"other")
    found = state(service, 1)
    now = service.show(MODEL, 1).file_digest
    assert recorded
    assert now
    assert (found.state, found.usable) == (Trust.TAMPERED, False)
    assert found.reason == f"its files have the fingerprint {now[:12]}, the record says {recorded[:12]}"

    with pytest.raises(Blocked, match="Files unchanged since recorded"):
        service.set_alias(MODEL, "shadow", 1, reason=REASON, actor=GRACE, accept_warnings=True)


def test_files_that_are_gone(service, registry):
    """Tampered where the ledger recorded some, untrusted otherwise."""
    promote(service, 1)
    for version in (1, 2):
        registry._models[MODEL].files[version] = {}
    assert (state(service, 1).state, state(service, 2).state) == (Trust.TAMPERED, Trust.UNTRUSTED)
    assert state(service, 1).reason.startswith("its files are gone, the record says ")
    assert state(service, 2).reason == "its files cannot be read"


def other_version_under_the_number(evidence: Evidence) -> Evidence:
    content = {**evidence.content, "created_at": "2030-01-01T00:00:00.000000Z", "file_digest": "0" * 64}
    return replace(evidence, content=content)


def test_numbers_that_were_given_out_again(service):
    """After a deletion another version has the number: in review, unless the ledger holds the number as champion."""
    promote(service, 1)
    promote(service, 2)
    former, champion = (other_version_under_the_number(service.show(MODEL, version)) for version in (1, 2))
    assert judge(former, view(service)).state is Trust.IN_REVIEW
    assert judge(champion, view(service)).state is Trust.TAMPERED


@pytest.mark.parametrize("kind", [EventType.DENIED, EventType.TAMPERING, EventType.DECIDED, EventType.OUT_OF_BAND])
def test_events_that_settle_nothing(kind, service):
    """A refusal or an alarm names a digest too, and approves nothing."""
    champion = SlotChange(Slot.of_alias(MODEL, "champion"), None, "1")
    subject = {"version": 1, "file_digest": "f" * 64, "created_at": None}
    event = Event(kind, MODEL, service.clock.now(), (champion,), content={"subject": subject})
    with service.ledger.transaction() as transaction:
        transaction.append(event)
    assert view(service).files == {}


@pytest.mark.parametrize(
    "subject", [None, {}, {"version": None, "file_digest": "f"}, {"version": 1, "file_digest": None}]
)
def test_events_that_name_no_files(subject, service):
    """Hold nothing to compare with."""
    with service.ledger.transaction() as transaction:
        for kind in (EventType.BASELINE, EventType.APPLIED):
            transaction.append(Event(kind, MODEL, service.clock.now(), content={"subject": subject}))
    assert view(service) == LedgerView(True, None, {})


def test_a_champion_that_nobody_decided_on_is_not_trusted(service, registry):
    """Also where its files were approved once: what serves has to be decided here; the record's own champion is."""
    promote(service, 1)
    promote(service, 2)
    registry.set_alias(MODEL, "champion", 1)
    found = state(service, 1)

    assert (found.state, found.usable) == (Trust.OUTSIDE, True)
    assert found.reason == "it was made champion outside of this desk; by the record it is version 2"
    assert state(service, 2).state is Trust.TRUSTED


def test_a_champion_of_a_model_without_one_is_not_trusted(service, registry):
    """By the record none serves; while a decision is on its way nothing is said against it."""
    service.take_over()
    registry.set_alias(MODEL, "champion", 3)
    found = view(service)

    assert state(service, 3).reason == "it was made champion outside of this desk; by the record it is no version"
    assert judge(service.show(MODEL, 3), found._replace(pending=True)).state is Trust.IN_REVIEW


def test_an_adopted_champion_is_trusted(service, registry):
    """Somebody took responsibility for a move that was made by another way."""
    promote(service, 1)
    registry.set_alias(MODEL, "champion", 2)
    assert view(service).champion == 1
    assert state(service, 2).state is Trust.OUTSIDE
    registry.set_stage(MODEL, 2, Stage.PRODUCTION)
    registry.set_stage(MODEL, 1, Stage.ARCHIVED)
    service.adopt(MODEL, reason=REASON, actor=GRACE)
    digest = service.show(MODEL, 2).file_digest
    created = service.show(MODEL, 2).content["created_at"]
    assert (view(service).champion, view(service).files[2]) == (2, RecordedFiles(digest, created, approved=True))
    assert state(service, 2).state is Trust.TRUSTED
