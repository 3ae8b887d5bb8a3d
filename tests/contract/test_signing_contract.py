"""The ports Signer and SignatureCheck: one suite for the signature of the tests and for Ed25519."""

from pathlib import Path

import pytest

from pipeline.adapters.signing import Ed25519Check, Ed25519Signer, new_key
from pipeline.governance.errors import InvalidInput
from pipeline.governance.record.checkpoint import SignatureCheck, Signer, fingerprint
from support.signing import KnownCheck, KnownSigner

Pair = tuple[Signer, Signer, SignatureCheck]  # two signers with different keys


@pytest.fixture(params=["known", "ed25519"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Pair:
    if request.param == "known":
        return KnownSigner("one"), KnownSigner("two"), KnownCheck()
    for name in ("one", "two"):
        new_key(tmp_path / name)
    return Ed25519Signer(tmp_path / "one"), Ed25519Signer(tmp_path / "two"), Ed25519Check()


def test_a_signature_fits_its_key_and_its_text(pair: Pair) -> None:
    """And no other key, no other text."""
    one, two, check = pair
    signature = one.sign("text \0 é")

    assert check.fits(one.public, "text \0 é", signature)
    assert not check.fits(two.public, "text \0 é", signature)
    assert not check.fits(one.public, "text \0 e", signature)
    assert fingerprint(one.public) != fingerprint(two.public)


@pytest.mark.parametrize("damaged", ["", "no base64!", "AAAA"])
def test_what_is_no_signature_and_no_key_fits_nothing(pair: Pair, damaged: str) -> None:
    """No exception: verify goes on."""
    one, _, check = pair

    assert not check.fits(one.public, "text", damaged)
    assert not check.fits(damaged, "text", one.sign("text"))


def test_a_key_is_read_again(tmp_path: Path) -> None:
    """From a file that only its owner may read."""
    public = new_key(tmp_path / "key")

    assert Ed25519Signer(tmp_path / "key").public == public
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "key").read_text().startswith("-----BEGIN PRIVATE KEY-----")


def test_a_key_is_never_written_over(tmp_path: Path) -> None:
    """Nor made where there is no folder."""
    new_key(tmp_path / "key")
    before = (tmp_path / "key").read_bytes()
    with pytest.raises(InvalidInput, match="is there already"):
        new_key(tmp_path / "key")
    with pytest.raises(InvalidInput, match="cannot be made"):
        new_key(tmp_path / "nowhere" / "key")

    assert (tmp_path / "key").read_bytes() == before


P256 = """-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgevZzL1gdAFr88hb2
OF/2NxApJCzGCEDdfSp6VQO30hyhRANCAAQRWz+jn65BtOMvdyHKcvjBeBSDZH2r
1RTwjmYSi9R/zpBnuQ4EiMnCqfMPWiZqB4QdbAd0E7oH50VpuZ1P087G
-----END PRIVATE KEY-----
"""


@pytest.mark.parametrize(
    ("content", "sentence"), [(None, "cannot be read"), ("no key", "is no private key"), (P256, "of another kind")]
)
def test_a_file_that_is_no_key_is_refused(tmp_path: Path, content: str | None, sentence: str) -> None:
    """With the setting's name and how to make one."""
    if content is not None:
        (tmp_path / "key").write_text(content)
    with pytest.raises(InvalidInput, match=rf"^SIGNOFF_SIGNING_KEY_FILE: .* {sentence}"):
        Ed25519Signer(tmp_path / "key")
