"""YAML and JSON from strangers: bounded before they are built, and never more than JSON can say."""

import json
import math

import pytest
import yaml

from pipeline.adapters.mlflow.folder import described
from pipeline.governance.errors import Refused
from pipeline.governance.ports import File
from pipeline.governance.record.ledger import canonical
from pipeline.serving.worker.load import parse_description
from pipeline.validation.documents import MOST_DEPTH, read_json, read_yaml
from support.registries import SIGNATURE, mlmodel

NINE = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9) if i else 'x'}]\n" for i in range(9))
HOSTILE = {
    "deep": b"[" * 500_000,
    "deep blocks": b"- " * 400_000,
    "deep mappings": b"{a: " * 200_000,
    "references": NINE.encode(),
    "a reference to itself": b"flavors: &a [*a]",
    "many keys": b"flavors: {}\n" + b"".join(b"key%d: 1\n" % number for number in range(60_000)),
    "many anchors": b"".join(b"- &a%d x\n" % number for number in range(60_000)),
    "a type": b"flavors: !!python/object/apply:os.system [ls]",
    "bytes": b"flavors: !!binary aGVsbG8=",
    "a set": b"flavors: !!set {a}",
    "a key that is a list": b"flavors: {[a]: 1}",
    "a number": b"flavors: 1.0e+999",
    "two documents": b"flavors: {}\n---\nflavors: {}",
    "not text": b"\xff\xfe\xff",
    "unclosed": b"flavors: [unclosed",
}
HOSTILE_JSON = {
    "deep": b"[" * 5_000_000,
    "deep objects": b'{"a":' * 500_000,
    "many": b"[" + b"1," * 2_000_000 + b"1]",
    "quotation marks": b'["' + b'\\"' * 2_000_000,
    "digits": b"[" + b"9" * 1_000_000 + b"]",
    "NaN": b"[NaN]",
    "infinity": b"[1e999]",
    "half a character": b'{"a": "\\ud800"}',
    "not text": b"[\xff]",
    "unclosed": b"{",
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_mlmodel_is_a_gap(content: bytes) -> None:
    """In the dashboard's process and in the worker's: one sentence without what the file holds."""
    files = [File("MLmodel", len(content), "0" * 64)]

    found = described(files, lambda _path, _limit: content)

    assert [gap.name for gap in found.gaps] == ["mlmodel_unreadable"]
    assert found.gaps[0].text.startswith("The file MLmodel cannot be read: ")
    assert len(found.gaps[0].text) < 150
    with pytest.raises(Refused, match="MLmodel"):
        parse_description(content)


@pytest.mark.parametrize("content", HOSTILE_JSON.values(), ids=HOSTILE_JSON)
def test_a_hostile_document_is_a_gap(content: bytes) -> None:
    """The others that came with the version are read all the same."""
    held = {"MLmodel": mlmodel(), "signoff/bad.json": content, "signoff/good.json": b'{"a": [1, 2.5, null]}'}
    files = [File(path, len(each), "0" * 64) for path, each in held.items()]

    found = described(files, lambda path, _limit: held[path])

    assert [gap.name for gap in found.gaps] == ["document_unreadable:bad"]
    assert found.documents == {"good": {"a": [1, 2.5, None]}}
    assert found.signature == SIGNATURE


@pytest.mark.parametrize("columns", ["*columns", "[{type: double}]", "{a: b}", "12", "2020-01-01"])
def test_a_signature_is_json_in_a_string(columns: str) -> None:
    """MLflow writes nothing else; a reference or a list would be written out later."""
    content = f"flavors: {{sklearn: {{}}}}\nsignature: {{inputs: {columns}}}\n".encode()

    found = described([], lambda _path, _limit: content)

    assert found.signature is None
    assert {"mlmodel_unreadable", "signature_unreadable"} & {gap.name for gap in found.gaps}


def test_what_json_does_not_have_stays_text() -> None:
    """A date written without quotation marks, a number of another base: as they stand, and evidence can keep them."""
    content = "made: 2023-01-01 10:00:00\nday: 2020-01-01\nhex: 0x1f\ntime: 1:30\nnan: .nan\n1: x\n~: y\n"

    found = read_yaml(content.encode())

    expected = {"made": "2023-01-01 10:00:00", "day": "2020-01-01", "hex": "0x1f", "time": "1:30", "nan": ".nan"}
    assert found == {**expected, "1": "x", "null": "y"}
    assert json.loads(canonical(found)) == found


def test_references_count_as_what_they_stand_for() -> None:
    """PyYAML writes one for each object that stands in two places, so a few are no attack; depth goes through them."""
    notes = {"makers": ["a", "b"]}
    held = {"flavors": {}, "metadata": {"first": notes, "second": notes, "third": [notes["makers"]] * 3}}
    text = yaml.safe_dump(held)
    assert "*id001" in text

    assert read_yaml(text.encode()) == held

    twice = MOST_DEPTH // 2 + 1
    deep = f"a: &a {'[' * twice}{']' * twice}\nb: {'[' * twice}*a{']' * twice}\n"
    with pytest.raises(ValueError, match="nested too deep"):
        read_yaml(deep.encode())


def test_an_example_may_hold_missing_numbers() -> None:
    """MLflow writes NaN into its input examples, which JSON does not have."""
    assert math.isnan(read_json(b"[NaN]", not_finite=True)[0])
    with pytest.raises(ValueError, match="NaN is not a number"):
        read_json(b"[NaN]")


def test_what_mlflow_writes_is_read_as_it_is() -> None:
    """The same as PyYAML gives, for a description with all that it may hold."""
    held = {
        "flavors": {"sklearn": {"pickled_model": "model.skops", "code": None, "sklearn_version": "1.9.1"}},
        "mlflow_version": "3.17.2",
        "model_size_bytes": 1234567,
        "share": 0.25,
        "signature": {"inputs": json.dumps(SIGNATURE["inputs"]), "outputs": None},
        "utc_time_created": "2026-01-01 10:00:00.123456",
        "is_signature_from_type_hint": False,
        "metadata": {"notes": "a: b\n- c", "list": [1, 2.5, "x", True, None, "1", "no", "~"]},
    }

    assert read_yaml(yaml.safe_dump(held).encode()) == held
    assert read_yaml(json.dumps(held).encode()) == held


def test_the_depth_that_is_allowed_is_read() -> None:
    """One level more is not; brackets and commas in strings are text."""
    deep = "[" * MOST_DEPTH + "]" * MOST_DEPTH

    assert read_json(deep) == read_yaml(deep.encode())
    with pytest.raises(ValueError, match="nested"):
        read_json(f"[{deep}]")
    assert read_json(json.dumps(["[" * 500, '"[,', "\\"])) == ["[" * 500, '"[,', "\\"]
