"""Check an evidence pack of Signoff with Python's standard library alone.

    python verify.py [FOLDER] [--checkpoint FILE]... [--key PUBLIC]...

FOLDER is the unpacked zip; without it, the folder of this file. What is wrong is named, one line each, and the exit
code is 7; it is 0 where nothing is, 2 where the command is wrong. How each hash is made stands in docs/governance.md of
Signoff. Only the signatures of checkpoints need a package, cryptography; without it they are said to be unchecked.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

FORMAT = "signoff-evidence-pack-1"
MANIFEST = "manifest.json"
KEYS = "keys.json"
HASH_LABEL = "signoff-event-v1"
SIGNED_LABEL = "signoff-checkpoint-v1"
BROKEN = 7
ENDS = ("applied", "aborted", "conflict", "reverted", "drift_reverted")
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError)
Json = Any


class Pack:
    """The unpacked files, and what is wrong with them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.manifest = self._object(MANIFEST)
        self.events: dict[int, Json] = {}  # rows by sequence
        self.bodies: dict[int, Json] = {}  # what the rows say, where it can be read

    def _object(self, path: str) -> dict[str, Json]:
        try:
            found = json.loads(self.read(path))
        except UNREADABLE:
            found = None
        if isinstance(found, dict):
            return found
        self.problems.append(f"{path}: is missing, or cannot be read")
        return {}

    def read(self, path: str) -> bytes:
        """One file. Raises OSError."""
        return (self.folder / path).read_bytes()

    def lines(self, path: str) -> list[bytes]:
        try:
            return [line for line in self.read(path).split(b"\n") if line]
        except OSError:
            return []  # the list of files names it

    def number(self, name: str) -> int:
        """A number of the manifest; 0 where it has none."""
        found = self.manifest.get(name)
        return found if type(found) is int else 0

    def story(self) -> list[int]:
        """The numbers of the decision's own events."""
        return [each for each in self.listed("events") if type(each) is int]

    def listed(self, name: str) -> list[Json]:
        """A list of the manifest; empty where it has none."""
        found = self.manifest.get(name)
        return found if isinstance(found, list) else []


def check_files(pack: Pack, ignored: set[Path]) -> None:
    """Every file of the list is there with its size and sha256, and there is no other."""
    listed = {MANIFEST}
    for entry in pack.listed("files"):
        path = entry.get("path") if isinstance(entry, dict) else None
        if not isinstance(path, str) or path.startswith(("/", "\\")) or ".." in path or ":" in path:
            pack.problems.append(f"{MANIFEST}: lists {shown(path)}, which is no file of a pack")
            continue
        listed.add(path)
        try:
            data = pack.read(path)
        except (OSError, ValueError):
            pack.problems.append(f"{shown(path)}: is missing")
            continue
        if (len(data), hashlib.sha256(data).hexdigest()) != (entry.get("size"), entry.get("sha256")):
            pack.problems.append(f"{shown(path)}: is not the file that the manifest lists")
    for folder, _, names in os.walk(pack.folder):
        for file in (Path(folder, name) for name in sorted(names)):
            path = file.relative_to(pack.folder).as_posix()
            if path not in listed and file.resolve() not in ignored:
                pack.problems.append(f"{shown(path)}: is no file of this pack")


def check_chain(pack: Pack) -> None:
    """The events follow each other without a gap, and each hash is that of its text and of the hash before."""
    read_events(pack)
    expected, previous = pack.number("first"), None
    for number, row in sorted(pack.events.items()):
        missing(pack, expected, number - 1)
        if previous is not None and row.get("previous_hash") != previous:
            pack.problems.append(f"event {number}: does not follow from the event before it")
        if row.get("hash") != event_hash(row, number):
            pack.problems.append(f"event {number}: was changed after it was written")
        expected, previous = number + 1, row.get("hash")
    missing(pack, expected, pack.number("last"))


def read_events(pack: Pack) -> None:
    for line in pack.lines("events.jsonl"):
        try:
            row = dict(json.loads(line))
            number = row["sequence"]
            if type(number) is not int or number in pack.events:
                raise ValueError(number)
            pack.events[number] = row
            pack.bodies[number] = dict(json.loads(row["body"]))
        except UNREADABLE:
            begin = shown(line[:60].decode(errors="replace"))
            pack.problems.append(f"events.jsonl: has a line that cannot be read, or comes twice ({begin})")
    for number in [each for each in pack.events if not pack.number("first") <= each <= pack.number("last")]:
        pack.problems.append(f"event {number}: is no event of this pack")
        del pack.events[number]


def missing(pack: Pack, first: int, last: int) -> None:
    if first == last:
        pack.problems.append(f"event {first}: is missing")
    elif first < last:
        pack.problems.append(f"events {first} to {last}: are missing")


def event_hash(row: dict[str, Json], number: int) -> str:
    text = f"{HASH_LABEL}\0{row.get('previous_hash')}\0{number}\0{row.get('body')}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def check_story(pack: Pack) -> None:
    """The events of the decision are there, and its end names it."""
    number = pack.number("decision")
    if pack.manifest.get("format") != FORMAT or number not in pack.story():
        pack.problems.append(f"{MANIFEST}: is not that of a pack that this program knows")
        return
    for each in pack.story():
        if each not in pack.bodies:
            pack.problems.append(f"event {shown(each)}: is an event of the decision, and is not here")
    decided = pack.bodies.get(number, {})
    if decided.get("model") != pack.manifest.get("model"):
        pack.problems.append(f"{MANIFEST}: names another model than event {number}")
    end = pack.bodies.get(pack.story()[-1], {})
    ended = end.get("type") in ENDS
    if ended and (end.get("intent"), end.get("decision")) != (number, decided.get("decision")):
        pack.problems.append(f"event {shown(pack.story()[-1])}: is the end of another decision")
    if decided.get("type") == "decided" and not ended:
        pack.notes.append(f"decision {number} had not ended when the pack was made")


def check_evidence(pack: Pack) -> None:
    """Each evidence that the decision quotes is there as the text of its sha256, with the digest of its files."""
    quoted = {}
    for number in pack.story():
        body = pack.bodies.get(number, {})
        incumbent = body.get("incumbent")
        for digest in (body.get("evidence"), incumbent.get("evidence") if isinstance(incumbent, dict) else None):
            if digest is not None:
                quoted[str(digest)] = number
    there = {file.stem for file in (pack.folder / "evidence").glob("*.json")}
    for digest in sorted(set(quoted) - there):
        pack.problems.append(f"evidence {shown(digest)}: event {quoted[digest]} quotes it, and it is not here")
    for digest in sorted(there):
        check_one_evidence(pack, digest)
        if digest not in quoted:
            pack.problems.append(f"evidence {shown(digest)}: no event of the decision quotes it")


def check_one_evidence(pack: Pack, digest: str) -> None:
    try:
        data = pack.read(f"evidence/{digest}.json")
        if hashlib.sha256(data).hexdigest() != digest:
            pack.problems.append(f"evidence {shown(digest)}: was changed after it was written")
            return
        content = json.loads(data)
        lines = sorted(f"{file['sha256']}  {file['path']}" for file in content["files"])
        found = hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()
        if lines and content["file_digest"] is not None and content["file_digest"] != found:
            pack.problems.append(f"evidence {shown(digest)}: its files do not have the digest that it names")
    except UNREADABLE:
        pack.problems.append(f"evidence {shown(digest)}: cannot be read")


def check_checkpoints(pack: Pack, kept: list[Path], given: list[str]) -> None:
    """The hashes of the chain are those that were kept outside the ledger: in the pack, and by whoever checks it.

    given: public keys in base64 that the reader knows to be right; without them those of the pack count.
    """
    found = of_chain(pack, pack.lines("checkpoints.jsonl"), "checkpoints.jsonl")
    for file in kept:
        try:
            lines = file.read_bytes().split(b"\n")
        except OSError as error:
            pack.problems.append(f"{shown(str(file))}: cannot be read ({error.strerror})")
            continue
        own = of_chain(pack, lines, str(file))
        if not own:
            pack.problems.append(f"{shown(str(file))}: holds no checkpoint of the events in this pack")
        found += own
    last = max(pack.story(), default=0)
    if max((each["sequence"] for each in found), default=0) < last:
        pack.notes.append(f"no checkpoint covers event {last}: whoever owned the ledger could have written it anew")
    elif not kept and not given:
        pack.notes.append("the checkpoints came with the pack: compare with your own by --checkpoint FILE")
    check_signatures(pack, found, given)


def of_chain(pack: Pack, lines: list[bytes], name: str) -> list[dict[str, Json]]:
    """The checkpoints that are about events of this pack, each compared with the chain."""
    about = []
    for line in lines:
        try:
            found = dict(json.loads(line))
            registry, number, kept = found["registry"], found["sequence"], found["hash"]
        except UNREADABLE:
            continue
        if registry != pack.manifest.get("registry") or type(number) is not int:
            continue
        if number == pack.number("first") - 1:
            there = pack.events.get(number + 1, {}).get("previous_hash")
        elif pack.number("first") <= number <= pack.number("last"):
            there = pack.events.get(number, {}).get("hash")
        else:
            continue
        if there != kept:
            pack.problems.append(f"event {number}: differs from its checkpoint in {shown(name)}")
        about.append(found)
    return about


def check_signatures(pack: Pack, checkpoints: list[dict[str, Json]], given: list[str]) -> None:
    """Each checkpoint that says that it is signed is, with a key that is known; one that has to be signed is."""
    keys = [{"public": public} for public in given] or known_keys(pack)
    signed = [each for each in checkpoints if each.get("signature") is not None]
    for each in checkpoints:
        if each not in signed and any(holds_at(key, each["sequence"]) for key in keys):
            pack.problems.append(f"event {each['sequence']}: its checkpoint is not signed, as it has to be")
    if signed and not keys:
        pack.notes.append("signatures are unchecked: no public key is known; name it by --key PUBLIC")
    elif signed and importlib.util.find_spec("cryptography") is None:
        pack.notes.append("signatures are unchecked: that needs the package cryptography")
    elif signed:
        wrong = [(each, why) for each in signed if (why := why_not_signed(each, keys))]
        pack.problems += [f"event {each['sequence']}: its checkpoint {why}" for each, why in wrong]
        if not given:
            pack.notes.append("the public keys came with the pack: compare with your own by --key PUBLIC")


def why_not_signed(checkpoint: dict[str, Json], keys: list[dict[str, Json]]) -> str:
    """Empty where the signature is that of a known key. By Ed25519 (RFC 8032)."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    public = next((key["public"] for key in keys if fingerprint(key["public"]) == checkpoint.get("key")), None)
    if public is None:
        return "is signed with a key that is not known"
    try:
        data = base64.b64decode(checkpoint["signature"], validate=True)
        Ed25519PublicKey.from_public_bytes(base64.b64decode(public)).verify(data, signed_text(checkpoint))
    except (InvalidSignature, *UNREADABLE):
        return "has a signature that does not fit"
    return ""


def known_keys(pack: Pack) -> list[dict[str, Json]]:
    """The public keys that came with the pack, and for which events each holds; none where no checkpoint is signed."""
    try:
        found = json.loads(pack.read(KEYS))
    except UNREADABLE:
        return []
    return [each for each in found if isinstance(each, dict) and isinstance(each.get("public"), str)]


def holds_at(key: dict[str, Json], sequence: int) -> bool:
    first, last = key.get("first"), key.get("last")
    return type(first) is int and first <= sequence and (type(last) is not int or sequence <= last)


def fingerprint(public: str) -> str:
    """Of a public key: the first sixteen hexadecimal digits of the sha256 of its bytes."""
    try:
        return hashlib.sha256(base64.b64decode(public)).hexdigest()[:16]
    except ValueError:
        return ""


def signed_text(checkpoint: dict[str, Json]) -> bytes:
    fields = {name: checkpoint.get(name) for name in ("registry", "sequence", "hash", "at")}
    text = json.dumps(fields, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return f"{SIGNED_LABEL}\0{text}".encode("utf-8", "surrogatepass")


def told(pack: Pack) -> list[str]:
    """What the events say happened, for somebody who does not open the report."""
    found = []
    for number in pack.story():
        body = pack.bodies.get(number, {})
        actor, subject = (body.get(name) if isinstance(body.get(name), dict) else {} for name in ("actor", "subject"))
        parts = {
            "at": body.get("at"),
            "model": body.get("model"),
            "version": subject.get("version"),
            "meaning": body.get("meaning"),
            "by": actor.get("subject"),
            "known by": actor.get("established"),
            "reason": body.get("reason"),
        }
        said = ", ".join(f"{name} {shown(value)}" for name, value in parts.items() if value is not None)
        found.append(f"event {shown(number)}: {shown(body.get('type'))}, {said}")
    return found


def shown(value: Json) -> str:
    """Anything on one line; what a terminal would obey is an escape."""
    return (
        value if isinstance(value, str) and value.isascii() and value.isprintable() else json.dumps(value, default=str)
    )


def checked(folder: Path, kept: list[Path], given: list[str]) -> Pack:
    pack = Pack(folder)
    if pack.manifest:
        check_files(pack, {each.resolve() for each in kept})
        check_chain(pack)
        check_story(pack)
        check_evidence(pack)
        check_checkpoints(pack, kept, given)
    return pack


def main() -> int:
    parser = argparse.ArgumentParser(description="Check an evidence pack of Signoff.")
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path(__file__).resolve().parent, help="the unpacked zip"
    )
    parser.add_argument("--checkpoint", action="append", type=Path, default=[], help="lines that you kept; repeatable")
    parser.add_argument("--key", action="append", default=[], help="a public key that you know, in base64; repeatable")
    options = parser.parse_args()
    pack = checked(options.folder, options.checkpoint, options.key)
    for line in (*told(pack), *(f"note: {each}" for each in pack.notes), *(f"WRONG: {each}" for each in pack.problems)):
        sys.stdout.write(f"{line}\n")
    if pack.problems:
        sys.stdout.write(f"not ok: {len(pack.problems)} wrong\n")
        return BROKEN
    sys.stdout.write(
        f"ok: decision {pack.number('decision')}, events {pack.number('first')} to {pack.number('last')}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
