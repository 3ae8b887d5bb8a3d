"""The zip of one decision: the same bytes whenever it is made, as long as the ledger holds the same about it.

Every name in it is fixed or made of a digest that was checked to be one, so that no text of the registry is a path.
"""

import hashlib
import json
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from pipeline.evidence_pack.report import report_html
from pipeline.governance.record.decision_record import DecisionRecord
from pipeline.governance.service import GovernanceService

FORMAT = "signoff-evidence-pack-1"
IN_MEMORY = 8_000_000  # bytes; what is larger goes to a temporary file
FIRST_TIME = (1980, 1, 1, 0, 0, 0)  # the least that a zip can say
READABLE = 0o644 << 16  # where a zip keeps the permissions of Unix
UNIX = 3
DIGEST = re.compile(r"[0-9a-f]{64}")
READ_ME = """What was recorded about decision {number} of a model registry, by Signoff.

report.html         what the approver saw: open it in a browser, it loads nothing and runs nothing
events.jsonl        the part of the ledger's chain that places the decision, each event as the text that was hashed
evidence/           the evidence that the decision quotes, each as the text that was hashed, under its sha256
checkpoints.jsonl   the hashes of that part that were kept outside the ledger
keys.json           the public keys of those who sign checkpoints, where somebody has to
manifest.json       the number and the sha256 of every file
verify.py           checks all of this with Python 3.9 or newer and nothing else

    python verify.py
    python verify.py --checkpoint FILE

The second form also compares with checkpoints that you kept yourself (ledger.checkpoints.jsonl). Whoever makes a pack
could make all of it anew, verify.py too: what nobody can make anew is a checkpoint that you already have. Events and
evidence count; report.html is made of them to be read.
"""


@contextmanager
def evidence_pack(service: GovernanceService, number: int, checkpoints: Sequence[Path] = ()) -> Iterator[IO[bytes]]:
    """The zip of a decision, by the number of any of its events, as a file that is gone after the block.

    checkpoints: files of other hosts, which may have decided; this host's own are in it anyway. Raises NotFound where
    there is no such event or file, InvalidInput for a file that says nothing of this ledger, Unavailable where the
    ledger cannot be read.
    """
    record = service.decision_record(number, checkpoints)
    with SpooledTemporaryFile(max_size=IN_MEMORY) as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
            _fill(PackWriter(archive), service, record)
        file.seek(0)
        yield file


def file_name(number: int) -> str:
    """What the zip of a decision is called where nobody says otherwise."""
    return f"signoff-decision-{number}.zip"


class PackWriter:
    """Writes files with a fixed time into a zip, and keeps size and sha256 of each."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.files: list[dict[str, Any]] = []  # what the manifest says of each

    def add(self, path: str, pieces: Iterable[str]) -> None:
        """One file, in pieces: no more than one of them is in memory."""
        info = zipfile.ZipInfo(path, FIRST_TIME)
        info.compress_type, info.create_system, info.external_attr = zipfile.ZIP_DEFLATED, UNIX, READABLE
        digest, size = hashlib.sha256(), 0
        with self._archive.open(info, "w") as file:
            for data in (piece.encode() for piece in pieces):
                size += file.write(data)
                digest.update(data)
        self.files.append({"path": path, "size": size, "sha256": digest.hexdigest()})


def _fill(writer: PackWriter, service: GovernanceService, record: DecisionRecord) -> None:
    writer.add("README.txt", [READ_ME.format(number=record.number)])
    writer.add("report.html", [report_html(record)])
    writer.add("events.jsonl", _events(service, record))
    kept = {digest: text for digest, text in record.evidence.items() if text is not None and DIGEST.fullmatch(digest)}
    for digest in sorted(kept):
        writer.add(f"evidence/{digest}.json", [kept[digest]])
    writer.add("checkpoints.jsonl", (f"{each.line}\n" for each in record.checkpoints))
    if record.keys:
        writer.add("keys.json", [json.dumps([asdict(key) for key in record.keys], ensure_ascii=False, indent=2), "\n"])
    writer.add("verify.py", [resources.files(__package__).joinpath("verify.py").read_text(encoding="utf-8")])
    manifest = {
        "format": FORMAT,
        "decision": record.number,
        "registry": record.registry,
        "model": record.decided.model,
        "events": [each.sequence for each in record.story],
        "first": record.first,
        "last": record.last,
        "files": list(writer.files),
    }
    writer.add("manifest.json", [json.dumps(manifest, ensure_ascii=False, indent=2), "\n"])


def _events(service: GovernanceService, record: DecisionRecord) -> Iterator[str]:
    for stored in service.part_of_chain(record):
        row = {
            "sequence": stored.sequence,
            "previous_hash": stored.previous_hash,
            "hash": stored.hash,
            "body": stored.body,
        }
        yield f"{json.dumps(row, ensure_ascii=False)}\n"
