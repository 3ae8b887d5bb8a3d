"""What the approver saw beside what is there now: also where the version, its run or its model is gone.

A model and a number are no identity: after a deletion and a new registration another version has the number. Whether it
is the same one is told by the time of its registration.
"""

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import pages, session
from dashboard.components import tables, widgets, words
from dashboard.components.trust import trust_badge
from pipeline.governance.errors import NotFound, Unavailable
from pipeline.governance.metrics import metric_label
from pipeline.governance.record.documents import DOCUMENTS, entry_of
from pipeline.governance.record.evidence import Evidence
from pipeline.governance.record.history import Entry
from pipeline.governance.record.ledger import canonical, digest_of

# Content of the evidence that is compared by itself; metrics, tags and parameters are compared one by one.
FACTS = ("created_at", "stage", "aliases", "status", "description", "file_digest", "run_id", "source")
LABELS = {  # of the facts whose name is not a word
    "created_at": "registered",
    "file_digest": "fingerprint of the files",
    "gaps": "missing in the registry",
    "run_id": "run",
    "source": "address of the files",
}
GROUPS = {"metrics": "metric", "tags": "tag", "params": "parameter"}  # with the word before the names of its values
METRIC = f"{GROUPS['metrics']} "
SAME, DECIDED, CHANGED = "✓ Same", "✓ As decided", "! Changed"
THEN, NOW, OTHER = "Then", "Now", "Another version now"
MOST_NAMED = 5


def evidence_then_and_now(entry: Entry, digest: str, version: int) -> None:
    """Draws the evidence that an event quotes, what is different now first."""
    st.caption("What the approver saw, beside what is there now")
    try:
        text = session.desk().evidence(digest)
    except NotFound as error:
        widgets.message("Not there any more", str(error), colour="orange")
        return
    if digest_of(text) != digest:
        why = "The evidence in the ledger is not what the event quotes: it was changed after it was written."
        widgets.message("Evidence changed", why, colour="red")
        return
    then: dict[str, Any] = json.loads(text)
    now = _now(entry, version)
    if now is None:
        _facts_table(then_and_now(then, {})[["Fact", THEN]], "What the approver saw")
        return
    if then.get("created_at") != now.content["created_at"]:
        _another_version(then, now)
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        _files_badge(then, now)
        trust_badge(entry.model, version)
    if then.get("file_digest") != now.file_digest:
        widgets.digests({"Files then": then.get("file_digest"), "Files now": now.file_digest})
        pages.link_review("Its files on Review", entry.model, version)
    _differences(then_and_now(then, now.content, expected=after_decision(then, entry)))


def _now(entry: Entry, version: int) -> Evidence | None:
    """What the registry holds under the number now; None, and why, where it holds nothing or does not answer."""
    try:
        return session.evidence(entry.model, version)
    except NotFound as error:
        text = f"{words.sentence(str(error))} This is what the approver saw, with nothing beside it."
        widgets.message("Not there any more", text, colour="orange")
    except Unavailable:
        st.text("The registry does not answer: this is what the approver saw, with nothing beside it.")
    return None


def _another_version(then: Mapping[str, Any], now: Evidence) -> None:
    registered = words.moment(now.content["created_at"])
    text = (
        f"The version was deleted; what has its number now was registered at {registered}. It is another version: "
        "this decision says nothing about it."
    )
    widgets.message("Another version", text, colour="orange")
    _files_badge(then, now)
    _differences(then_and_now(then, now.content).rename(columns={NOW: OTHER}))


def _files_badge(then: Mapping[str, Any], now: Evidence) -> None:
    if then.get("file_digest") == now.file_digest:
        st.badge("The files are those of the decision", icon=":material/check_circle:", color="green")
    else:
        st.badge("The files are not those of the decision", icon=":material/error:", color="red")


def _differences(table: pd.DataFrame) -> None:
    differs = table["Result"].map(lambda result: result != [SAME])
    st.text(_summary(table))
    if differs.any():
        _facts_table(table[differs], "What is different now")
    with st.expander(f"The same now as then: {words.count(int((~differs).sum()), 'fact')}"):
        _facts_table(table[~differs], "What is the same now as then")


def _summary(table: pd.DataFrame) -> str:
    """How many facts are different now, and which of them the decision itself changed."""
    results = table["Result"].str[0]
    changed, decided = (table["Fact"][results == result].tolist() for result in (CHANGED, DECIDED))
    if changed:
        differ = "is" if len(changed) == 1 else "are"
        first = f"{len(changed):,} of {words.count(len(table), 'fact')} {differ} different now: {_named(changed)}."
    else:
        first = f"{'All others' if decided else f'All {len(table):,} facts'} are as the approver saw them."
    return f"The decision itself changed {_named(decided)}. {first}" if decided else first


def _named(facts: list[str]) -> str:
    return ", ".join(facts[:MOST_NAMED]) + (f" and {len(facts) - MOST_NAMED} more" if facts[MOST_NAMED:] else "")


def _facts_table(table: pd.DataFrame, alt: str) -> None:
    st.dataframe(
        table,
        hide_index=True,
        height=widgets.height_of(len(table)),
        column_config={
            "Result": st.column_config.MultiselectColumn(
                options=[SAME, DECIDED, CHANGED], color=["gray", "green", "orange"], width=120
            ),
            "Fact": st.column_config.TextColumn(width=220),
        },
        alt=alt,
    )


def after_decision(then: Mapping[str, Any], entry: Entry) -> Mapping[str, Any]:
    """Stage and aliases of the version as the decision left them."""
    own, aliases, stage = str(entry.version), set(then.get("aliases") or []), then.get("stage")
    for change in entry.changes:
        if change.slot.kind == "stage" and change.slot.name == own:
            stage = change.to
        elif change.slot.kind == "alias" and own in (change.to, change.expected):
            (aliases.add if change.to == own else aliases.discard)(change.slot.name)
    return {"stage": stage, "aliases": sorted(aliases)}


def then_and_now(
    then: Mapping[str, Any], now: Mapping[str, Any], *, expected: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """One line per fact, metric, tag, parameter, document and file of either evidence.

    What nobody decided comes first, then what the decision itself changed, then what is as it was. expected: facts as
    the decision itself left them.
    """
    before, after, decided = _flat(then), _flat(now), expected or {}
    names = [*before, *(name for name in after if name not in before)]
    changed = {name: before.get(name) != after.get(name) for name in names}
    as_decided = {name for name, value in decided.items() if value == after.get(name)}
    results = {name: (DECIDED if name in as_decided else CHANGED) if changed[name] else SAME for name in names}
    order = sorted(names, key=lambda name: (CHANGED, DECIDED, SAME).index(results[name]))
    return pd.DataFrame(
        {
            "Result": [[results[name]] for name in order],
            "Fact": [tables.cell(_called(name)) for name in order],
            THEN: [_cell(before.get(name), after.get(name)) for name in order],
            NOW: [_cell(after.get(name), before.get(name)) for name in order],
        }
    )


def _flat(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of evidence by names without levels."""
    found = {name: content.get(name) for name in FACTS}
    for group, word in GROUPS.items():
        values = entry_of(content, group)
        found |= {f"{word} {key}": values[key] for key in sorted(values)}
    for name in ("signature", *DOCUMENTS):  # each too large for a cell: equal parts have the same digest
        part = content.get(name)
        found[name.replace("_", " ")] = None if part is None else words.digest(digest_of(canonical({"part": part})))
    found["gaps"] = [str(gap.get("text")) for gap in content.get("gaps") or ()]
    return found | {f"file {file['path']}": words.digest(file["sha256"]) for file in content.get("files") or ()}


def _called(fact: str) -> str:
    """What people call a fact: of a metric its plain name, which says by itself that it is one."""
    name = fact.removeprefix(METRIC)
    label = metric_label(name)
    return label if name not in (fact, label) else LABELS.get(fact, fact)


def _cell(value: object, other: object) -> str:
    """A number with four digits, or with all of them where the other value differs only behind the fourth."""
    if isinstance(value, list):
        return tables.cell(", ".join(map(str, value))) or "none"
    if not isinstance(value, float):
        return tables.cell(value)
    equal = isinstance(other, float) and value != other and words.number(value) == words.number(other)
    return repr(value) if equal else words.number(value)
