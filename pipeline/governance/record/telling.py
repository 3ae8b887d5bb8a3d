"""Events as sentences: who did what to which version, and everything that it changed, the same on screens and in text.

Names of aliases and reasons may be anybody's text: what is given here is visible text, never markdown.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC

from pipeline.governance.lifecycle import CHAMPION, MoveKind, Stage
from pipeline.governance.record.history import UNREADABLE, Entry
from pipeline.governance.record.ledger import ENDS, SEEN, EventType, SlotChange, UnknownType
from pipeline.governance.text import visible

ARROW = "→"
MOST_CHANGES = 8  # a model that was deleted or moved as a whole changes thousands
UNSET = "none"  # an alias that is on no version
GONE = "gone"  # the stage of a version that is not there
NO_STAGE = "no stage"  # what MLflow calls None
# What somebody did, and what somebody only wanted to do, by the meaning of a decision.
DONE: Mapping[str, tuple[str, str]] = {
    MoveKind.STAGING: ("moved version {version} to Staging", "move version {version} to Staging"),
    MoveKind.PRODUCTION: ("promoted version {version} to Production", "promote version {version} to Production"),
    MoveKind.ARCHIVED: ("archived version {version}", "archive version {version}"),
    MoveKind.NONE: ("took version {version} out of its stage", "take version {version} out of its stage"),
    MoveKind.ALIAS: ("set the alias {alias} on version {version}", "set the alias {alias} on version {version}"),
    MoveKind.UNALIAS: ("removed the alias {alias}", "remove the alias {alias}"),
    MoveKind.ROLLBACK: ("rolled back to version {version}", "roll back to version {version}"),
    MoveKind.RECONCILE: ("ended a change that was made outside of this desk", "end a change made outside of this desk"),
    "adopt": ("accepted what was changed outside of this desk", "accept what was changed outside of this desk"),
    "request": ("asked for approval", "ask for approval to move version {version}"),
    "approve": ("approved request {request}", "approve request {request}"),
    "reject": ("rejected request {request}", "reject request {request}"),
    "withdraw": ("withdrew request {request}", "withdraw request {request}"),
    "override": ("overrode the rules", "override the rules for version {version}"),
    "acknowledge": ("acknowledged an override", "acknowledge an override"),
    "comment": ("commented on version {version}", "comment on version {version}"),
    "register": ("registered version {version}", "register version {version}"),
    "issue_token": ("made the token {token}", "make the token {token}"),
    "revoke_token": ("revoked the token {token}", "revoke the token {token}"),
    "close_finding": ("closed finding {finding}", "close finding {finding}"),
    "decide": ("decided something", "decide something here"),  # of who was told nothing about what
    "revert": ("undid what was changed outside of this desk", "undo what was changed outside of this desk"),
}
OTHERWISE = ("decided something of a kind that is not known here", "decide something of a kind that is not known here")

DEEDS = (EventType.APPLIED, EventType.ADOPTED, EventType.REVERTED, EventType.TOKEN_ISSUED, EventType.TOKEN_REVOKED)
SENTENCES: Mapping[str, str] = {
    **dict.fromkeys(DEEDS, "{who} {done}"),
    EventType.REQUESTED: "{who} asked for approval to {wanted}",
    EventType.APPROVED: "{who} approved the request to {wanted}",
    EventType.REJECTED: "{who} rejected the request to {wanted}",
    EventType.WITHDRAWN: "{who} withdrew the request to {wanted}",
    EventType.OVERRIDDEN: "{who} overrode the rules to {wanted}",
    **dict.fromkeys((EventType.ACKNOWLEDGED, EventType.COMMENTED, EventType.REGISTERED), "{who} {done}"),
    EventType.DECIDED: "{who} decided to {wanted}",
    EventType.ABORTED: "{who} decided to {wanted}, and it was not carried out",
    EventType.CONFLICT: "{who} decided to {wanted}, and the registry was changed by another way meanwhile",
    EventType.DENIED: "{who} asked to {wanted} and was refused",
    EventType.OUT_OF_BAND: "The registry was changed outside of this desk",
    EventType.BASELINE: "The desk took the model over as it was",
    EventType.TAMPERING: "The files of version {version} were found changed",
    EventType.FINDING_OPENED: "Version {version} has to be looked at",
    EventType.FINDING_CLOSED: "{who} {done}",
    UNREADABLE: "This event cannot be read",
}
SIGNING = (
    EventType.REQUESTED,
    EventType.APPROVED,
    EventType.REJECTED,
    EventType.WITHDRAWN,
    EventType.OVERRIDDEN,
    EventType.ACKNOWLEDGED,
)
FINDING = (EventType.FINDING_OPENED, EventType.FINDING_CLOSED)
DIGITS = 12  # of a fingerprint
# One word or two for an event, after a sign; of a decision that was applied, for what it did.
EVENT_WORDS: Mapping[str, str] = {
    EventType.BASELINE: "· Taken over",
    EventType.DECIDED: "… Pending",
    EventType.APPLIED: "✓ Applied",
    EventType.ABORTED: "✕ Not applied",
    EventType.CONFLICT: "! Conflict",
    EventType.DENIED: "✕ Refused",
    EventType.OUT_OF_BAND: "! Changed outside",
    EventType.ADOPTED: "✓ Accepted",
    EventType.REVERTED: "✓ Undone",
    EventType.TAMPERING: "! Files changed",
    EventType.REQUESTED: "… Requested",
    EventType.APPROVED: "✓ Approved",
    EventType.REJECTED: "✕ Rejected",
    EventType.WITHDRAWN: "· Withdrawn",
    EventType.OVERRIDDEN: "! Overridden",
    EventType.ACKNOWLEDGED: "✓ Acknowledged",
    EventType.COMMENTED: "· Comment",
    EventType.REGISTERED: "· Registered",
    EventType.FINDING_OPENED: "! Finding",
    EventType.FINDING_CLOSED: "✓ Finding closed",
    EventType.TOKEN_ISSUED: "· Token made",
    EventType.TOKEN_REVOKED: "· Token revoked",
    UNREADABLE: "! Unreadable",
}
DEED_WORDS: Mapping[str, str] = {
    MoveKind.STAGING: "✓ To Staging",
    MoveKind.PRODUCTION: "✓ Promoted",
    MoveKind.ARCHIVED: "✓ Archived",
    MoveKind.NONE: "✓ Stage taken",
    MoveKind.ALIAS: "✓ Alias set",
    MoveKind.UNALIAS: "✓ Alias removed",
    MoveKind.ROLLBACK: "! Rolled back",
}
WORDS_FOR_REASON: Mapping[str, str] = {
    EventType.COMMENTED: "Comment",
    EventType.FINDING_OPENED: "Found",
    EventType.DENIED: "Reason given",
}


def changes_text(kind: EventType | UnknownType, changes: Iterable[SlotChange], *, most: int = MOST_CHANGES) -> str:
    """`champion 1 → 2; version 2 Staging → Production`: from what to what, in the order in which it is changed."""
    found = list(changes)
    texts = [_change(each, seen=kind in SEEN) for each in found[:most]]
    return "; ".join([*texts, *([f"and {len(found) - most:,} more"] if len(found) > most else [])])


def _change(change: SlotChange, *, seen: bool) -> str:
    after = change.observed if seen else change.to
    return f"{name_of(change)} {_content(change, change.expected)} {ARROW} {_content(change, after)}"


def name_of(change: SlotChange) -> str:
    """`version 2` for its stage, `champion`, or `alias x` for any other one."""
    name = visible(change.slot.name)
    if change.slot.kind == "stage":
        return f"version {name}"
    return name if change.slot.name == CHAMPION else f"alias {name}"


def _content(change: SlotChange, value: str | None) -> str:
    if value is None:
        return UNSET if change.slot.kind == "alias" else GONE
    return NO_STAGE if change.slot.kind == "stage" and value == Stage.NONE else visible(value)


def change_of(entry: Entry) -> str:
    """Everything that an event changed, as `changes_text`; empty where it changed nothing."""
    if entry.type is EventType.BASELINE:
        n = len(entry.changes)
        found = f"{n:,} {'alias or stage' if n == 1 else 'aliases and stages'} as found"
        return found if n else "no alias or stage yet"
    return changes_text(entry.type, entry.moved)


def sentence(entry: Entry) -> str:
    """Who did what, without time, changes and reason: `grace promoted version 2 to Production`."""
    done, wanted = _deed(entry)
    told = SENTENCES.get(entry.type, "{who}: {type}").format(
        who=visible(entry.name or entry.actor or "") or "Somebody",
        done=done,
        wanted=wanted,
        version=entry.version,
        type=visible(entry.type.value),
    )
    if requester := entry.content.get("requested_by"):
        return f"{told}, as {visible(entry.asker_name or str(requester.get('subject')))} had asked for"
    broken = entry.content.get("overridden") and entry.type in (EventType.DECIDED, *ENDS)
    return f"{told}, overriding the rules" if broken else told


def word_for_reason(entry: Entry) -> str:
    """What the text is that somebody gave with an event."""
    return WORDS_FOR_REASON.get(entry.type, "Reason")


def told(entry: Entry) -> str:
    """An event for somebody who did not expect it: when, who, what, every change, and why; visible text on up to three
    lines.
    """
    when = f"{entry.at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC: " if entry.at else ""
    reason = f"{word_for_reason(entry)}: {visible(entry.reason)}" if entry.reason else ""
    return "\n".join(filter(None, (f"{when}{sentence(entry)}.", change_of(entry), reason)))


def _deed(entry: Entry) -> tuple[str, str]:
    done, wanted = DONE.get(entry.meaning or "", OTHERWISE)
    slots = (each.slot.name for each in entry.changes if each.slot.kind == "alias")
    alias = next(slots, str(entry.content.get("to") or "").removeprefix("@"))
    token = str((entry.content.get("token") or {}).get("name"))
    request = entry.content.get("requested", entry.content.get("looked_up"))
    named = {"version": entry.version, "alias": visible(alias), "token": visible(token), "request": request}
    named["finding"] = entry.content.get("closes", entry.content.get("looked_up"))
    return done.format(**named), wanted.format(**named)


def event_word(entry: Entry) -> str:
    """What a decision did, where it was applied; else how it ended."""
    if entry.type is EventType.APPLIED:
        return DEED_WORDS.get(entry.meaning or "", EVENT_WORDS[EventType.APPLIED])
    return EVENT_WORDS.get(entry.type, f"· {visible(entry.type.value)}")


def change_or_wish(entry: Entry) -> str:
    """Everything that an event changed, or what was asked for, on one line."""
    if entry.type is EventType.TAMPERING:
        now = (entry.content.get("subject") or {}).get("file_digest")
        recorded = str(entry.content.get("recorded_digest"))
        return f"fingerprint of the files {recorded[:DIGITS]} {ARROW} {str(now)[:DIGITS] if now else 'gone'}"
    if entry.type in (EventType.REGISTERED, *FINDING):
        return f"version {entry.version}"
    if entry.type in (EventType.DENIED, *SIGNING):
        version = "" if entry.version is None else f"version {entry.version} "
        asked = "asked" if "requested" not in entry.content else f"request {entry.content['requested']}"
        return f"{asked}: {version}{ARROW} {_wanted(entry.after or '')}"
    return change_of(entry)


def _wanted(to: str) -> str:
    """A stage as it is, an alias by its name."""
    name = visible(to.removeprefix("@"))
    return name if name == CHAMPION or not to.startswith("@") else f"alias {name}"
