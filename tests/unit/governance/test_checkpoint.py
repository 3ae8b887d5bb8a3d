"""Checkpoints: their line, who must sign them, and what is wrong with a signature, said by the key's name."""

from dataclasses import replace

import pytest

from pipeline.governance.errors import Unavailable
from pipeline.governance.record.checkpoint import ChainCheckpoint, CheckpointKey, Signing
from support.signing import KnownCheck, KnownSigner

PLAIN = ChainCheckpoint("registry-1", 7, "ab" * 32, "2026-01-01T00:00:00.000000Z")
DESK, OTHER = KnownSigner("desk"), KnownSigner("other")


def signing(signer: KnownSigner | None, *keys: CheckpointKey) -> Signing:
    return Signing(signer, keys, KnownCheck())


def signed_by(signer: KnownSigner, checkpoint: ChainCheckpoint = PLAIN) -> ChainCheckpoint:
    return signing(signer).signed(checkpoint)


@pytest.mark.parametrize("checkpoint", [PLAIN, signed_by(DESK)])
def test_a_line_is_read_as_it_was_written(checkpoint: ChainCheckpoint) -> None:
    """With and without a signature."""
    assert ChainCheckpoint.from_line(checkpoint.line) == checkpoint


def test_a_line_of_an_earlier_release_is_unsigned() -> None:
    """It has four fields, or three."""
    line = '{"registry": "r", "sequence": 3, "hash": "h"}'

    assert ChainCheckpoint.from_line(line) == ChainCheckpoint("r", 3, "h", "")
    assert "signature" not in PLAIN.line


@pytest.mark.parametrize(
    "line", ["", "no json", "[]", "7", '{"registry": "r"}', '{"registry": 1, "sequence": "x", "hash": ""}']
)
def test_a_damaged_line_is_none(line: str) -> None:
    """Whatever it holds."""
    assert ChainCheckpoint.from_line(line) is None


def test_what_is_signed_is_every_field() -> None:
    """In canonical JSON, after a label of its own."""
    label, _, fields = PLAIN.text.partition("\0")

    assert label == "signoff-checkpoint-v1"
    assert fields == f'{{"at":"{PLAIN.at}","hash":"{PLAIN.hash}","registry":"registry-1","sequence":7}}'


def test_without_keys_nothing_is_asked_for() -> None:
    """A host that has no key writes as before; one that has signs already."""
    assert signing(None).signed(PLAIN) == PLAIN
    assert signed_by(DESK).key == DESK.key().fingerprint
    assert signing(None).problems([PLAIN, signed_by(OTHER)]) == []


def test_a_host_without_the_key_that_must_sign_writes_nothing() -> None:
    """It says which key, and where its file is named; before the key held there was nothing to sign."""
    with pytest.raises(
        Unavailable, match=r"^checkpoint: the key 'desk' \(.*, holds from event 5 on\) must sign event 7.*SIGNING_KEY"
    ):
        signing(None, DESK.key(5)).signed(PLAIN)

    assert signing(None, DESK.key(8)).signed(PLAIN) == PLAIN


@pytest.mark.parametrize("key", [OTHER.key(1), DESK.key(8), DESK.key(1, last=6)])
def test_a_host_with_a_key_that_does_not_hold_writes_nothing(key: CheckpointKey) -> None:
    """Another one, one that holds later, or one that held before."""
    with pytest.raises(
        Unavailable, match=rf"^checkpoint: the key {DESK.key().fingerprint} of .* does not hold for event 7"
    ):
        signing(DESK, key).signed(PLAIN)


def test_each_host_signs_with_its_own_key() -> None:
    """Several hold at a time."""
    keys = (DESK.key(3), OTHER.key(5))
    found = [signing(signer, *keys).signed(PLAIN) for signer in (DESK, OTHER)]

    assert signing(None, *keys).problems(found) == []


@pytest.mark.parametrize(
    ("checkpoint", "problem"),
    [
        (PLAIN, "is not signed, as it has to be by the key 'desk' "),
        (
            signed_by(OTHER),
            f"is signed with the key {OTHER.key().fingerprint}, which checkpoints.keys of params.yaml does",
        ),
        (replace(signed_by(DESK), hash="cd" * 32), "has a signature that does not fit the key 'desk' "),
        (replace(signed_by(DESK), at="2026-01-02"), "has a signature that does not fit the key 'desk' "),
        (replace(signed_by(DESK), signature=None), "has a signature that does not fit the key 'desk' "),
    ],
)
def test_what_is_wrong_with_a_signature_is_said_by_name(checkpoint: ChainCheckpoint, problem: str) -> None:
    """Each as one sentence that begins with its event."""
    (found,) = signing(None, DESK.key(5)).problems([checkpoint])

    assert found.startswith(f"event 7: its checkpoint {problem}")


def test_older_lines_are_unsigned_not_wrong() -> None:
    """A key holds from an event on; one that signed outside of its range is named with it."""
    assert signing(None, DESK.key(8)).problems([PLAIN]) == []
    (late,) = signing(None, DESK.key(1, last=6)).problems([signed_by(DESK)])
    assert late.endswith(f"is signed with the key 'desk' ({DESK.key().fingerprint}, holds from event 1 to 6)")


def test_who_cannot_check_a_signature_says_that_it_does_not_fit() -> None:
    """Nothing is taken on trust."""
    assert len(Signing(keys=(DESK.key(1),)).problems([signed_by(DESK)])) == 1
