"""What the approver saw, as one HTML file that loads nothing and runs nothing.

It is made of the decision's events and its evidence alone, so that it is the same whenever and wherever it is made. Its
text comes from strangers and is escaped by the one function that the model card uses.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pipeline.governance.errors import NotFound
from pipeline.governance.policy import Mode
from pipeline.governance.record.decision_record import SIGNING, DecisionRecord
from pipeline.governance.record.documents import entry_of
from pipeline.governance.record.evidence import Evidence, read_evidence
from pipeline.governance.record.history import Entry, entry
from pipeline.governance.record.ledger import EventType, digest_of
from pipeline.governance.record.telling import GONE, UNSET, name_of, sentence
from pipeline.governance.rules.gate_words import label_of
from pipeline.model_card.content import Card, Section, evidence_sections, one_line, table_of
from pipeline.model_card.render import to_html

FAILED: Mapping[str, str] = {Mode.PREVENT: "blocked", Mode.WARN: "warned", Mode.ALLOW: "noted"}
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
NOTHING = "The event quotes no evidence."


def report_html(record: DecisionRecord) -> str:
    """The report of a decision; what cannot be shown is named in its place."""
    return to_html(report(record))


def report(record: DecisionRecord) -> Card:
    decided = next(entry(each) for each in record.story if each.sequence == record.number)
    entries = [entry(each) for each in record.story]
    signed = _signatures(entries) if entries[0].sequence != record.number or decided.type in SIGNING else ()
    sections = (_decision(record, decided), _changes(entries[-1]), _story(entries), *signed, _gates(decided))
    what = "Decision" if decided.type is EventType.DECIDED else "Event"
    return Card(f"{what} {record.number}: {one_line(decided.model)}", (*sections, *_seen(record, decided)))


def _decision(record: DecisionRecord, decided: Entry) -> Section:
    content, last = decided.content, entry(record.story[-1])
    actor, subject = entry_of(content, "actor"), entry_of(content, "subject")
    facts = {
        "When (UTC)": _time(decided),
        "Who": decided.signature,
        "Issuer of the identity": actor.get("issuer"),
        "Roles used": actor.get("roles"),
        "Reason": decided.reason,
        "Why": decided.why,
        "Model": decided.model,
        "Version": decided.version,
        "Registered at": subject.get("created_at"),
        "Run": subject.get("run_id"),
        "Logged model": subject.get("model_id"),
        "Source": subject.get("source"),
        "Fingerprint of all files (sha256)": subject.get("file_digest"),
        "Accepted warnings": [label_of(str(each)) for each in content.get("accepted_warnings") or ()],
        "Compared with": _incumbent(content),
        "Fingerprint of the policy": content.get("policy"),
        "Fingerprint of the evidence": decided.evidence,
        "Registry": record.registry,
    }
    rows = [(name, one_line(value)) for name, value in facts.items()]
    ended = () if record.end or decided is last else ("It had not ended when this was written.",)
    return Section("Decision", (f"{sentence(last)}.", *ended), table_of(("", "Value"), [row for row in rows if row[1]]))


def _incumbent(content: Mapping[str, Any]) -> str | None:
    version = entry_of(content, "incumbent").get("version")
    return None if version is None else f"version {one_line(version)}, the champion at that time"


def _changes(last: Entry) -> Section:
    rows = []
    for each in last.moved:
        missing = UNSET if each.slot.kind == "alias" else GONE
        contents = (missing if value is None else one_line(value) for value in (each.expected, each.to))
        rows.append((name_of(each), *contents))
    none = () if rows else ("Nothing.",)
    return Section("What it changes", none, table_of(("", "From", "To"), rows))


def _story(entries: Iterable[Entry]) -> Section:
    rows = [
        (str(each.sequence), _time(each), each.type.value, one_line(each.signature), one_line(each.reason))
        for each in entries
    ]
    return Section("Events", table=table_of(("No.", "At (UTC)", "Event", "Who", "Reason"), rows))


def _signatures(entries: Iterable[Entry]) -> Iterator[Section]:
    """What those who asked and approved signed for: their roles, what they confirmed, and what they had opened."""
    rows = []
    for each in (each for each in entries if each.type in SIGNING):
        opened = [panel for panel in each.content.get("opened") or () if isinstance(panel, Mapping)]
        cells = (
            entry_of(each.content, "actor").get("roles"),
            [f"{key}: {text}" for key, text in entry_of(each.content, "attested").items()],
            [f"{panel.get('panel')} at {panel.get('at')}" for panel in opened],
        )
        rows.append((f"{each.sequence} {each.type.value}", one_line(each.signature), *map(one_line, cells)))
    yield Section("Signatures", table=table_of(("", "Who", "Roles used", "Confirmed", "Had opened"), rows))


def _gates(decided: Entry) -> Section:
    found = [gate for gate in decided.content.get("gates") or () if isinstance(gate, Mapping)]
    rows = [
        (
            label_of(one_line(gate.get("name"))),
            "passed" if gate.get("passed") else FAILED.get(str(gate.get("mode")), "blocked"),
            *(one_line(gate.get(name)) for name in ("observed", "required", "why")),
        )
        for gate in sorted(found, key=lambda gate: bool(gate.get("passed")))
    ]
    missing = () if rows else ("The event holds no gates.",)
    heads = ("Gate", "Result", "Observed", "Required", "Why")
    return Section("Gates at that time", table=table_of(heads, rows), missing=missing)


def _seen(record: DecisionRecord, decided: Entry) -> list[Section]:
    """What the evidence says; of evidence that is not there or is damaged, so much."""
    if decided.evidence is None:
        return [Section("Evidence", missing=(NOTHING,))]
    try:
        return list(_what_was_seen(record, decided, _evidence(record, decided.evidence)))
    except NotFound as error:
        return [Section("Evidence", missing=(f"{error}.",))]
    except UNREADABLE:
        return [Section("Evidence", missing=(f"The evidence {one_line(decided.evidence)} cannot be read.",))]


def _evidence(record: DecisionRecord, digest: str) -> Evidence:
    """Raises NotFound where it is gone or changed, ValueError where it is no evidence."""
    text = record.evidence.get(digest)
    if text is None:
        raise NotFound(f"The ledger does not hold the evidence {one_line(digest)} any more")
    if digest_of(text) != digest:
        raise NotFound(f"The evidence {one_line(digest)} was changed after it was written")
    return read_evidence(text)


def _what_was_seen(record: DecisionRecord, decided: Entry, evidence: Evidence) -> Iterator[Section]:
    first, *others = evidence_sections(evidence)
    yield Section(f"What was seen: {first.title.lower()}", first.sentences, first.table)
    if digest := entry_of(decided.content, "incumbent").get("evidence"):
        yield _beside(evidence, _evidence(record, digest))
    yield from others
    for title, name in (("Parameters", "params"), ("Tags", "tags")):
        rows = [(one_line(key), one_line(value)) for key, value in entry_of(evidence.content, name).items()]
        yield Section(title, table=table_of(("Name", "Value"), rows))
    if description := one_line(evidence.content.get("description")):
        yield Section("Description", (description,))


def _beside(evidence: Evidence, incumbent: Evidence) -> Section:
    rows = []
    for metric in evidence.metrics():
        other = incumbent.metric(metric.name)
        if other is not None:
            values = (metric.value, other.value, metric.value - other.value)
            rows.append((one_line(metric.name), *(f"{value:.4f}" for value in values)))
    heads = ("Metric", f"Version {evidence.version}", f"Champion {incumbent.version}", "Difference")
    missing = () if rows else ("The two versions have no metric in common.",)
    return Section("Metrics beside the champion's", table=table_of(heads, rows), missing=missing)


def _time(found: Entry) -> str:
    return f"{found.at:%Y-%m-%d %H:%M:%S}" if found.at else ""
