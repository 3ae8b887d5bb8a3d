"""What an approver saw beside what is there now."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from dashboard.components import tables, words
from pipeline.governance.evidence import DOCUMENTS, entry_of
from pipeline.governance.ledger import canonical, digest_of

FACTS = ("stage", "aliases", "status", "description", "file_digest", "run_id", "source")
GROUPS = ("metrics", "tags", "params")
SAME, CHANGED = "✓ Same", "! Changed"


def compared(then: Mapping[str, Any], now: Mapping[str, Any]) -> pd.DataFrame:
    """One line per fact, metric, tag, parameter, document and file of either side; the changed ones first."""
    before, after = _flat(then), _flat(now)
    names = [*before, *(name for name in after if name not in before)]
    changed = {name: before.get(name) != after.get(name) for name in names}
    order = sorted(names, key=lambda name: not changed[name])
    return pd.DataFrame(
        {
            "Result": [[CHANGED if changed[name] else SAME] for name in order],
            "Fact": [tables.cell(name) for name in order],
            "Then": [_shown(before.get(name), after.get(name)) for name in order],
            "Now": [_shown(after.get(name), before.get(name)) for name in order],
        }
    )


def _shown(value: object, other: object) -> str:
    """Four digits, unless the difference lies behind them."""
    if isinstance(value, list):
        return tables.cell(", ".join(map(str, value)))
    if not isinstance(value, float):
        return tables.cell(value)
    equal = isinstance(other, float) and value != other and words.number(value) == words.number(other)
    return repr(value) if equal else words.number(value)


def _flat(content: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: content.get(name) for name in FACTS}
    for group in GROUPS:
        held = entry_of(content, group)
        found |= {f"{group[:-1]} {key}": held[key] for key in sorted(held)}
    found |= {name.replace("_", " "): _digest(content.get(name)) for name in ("signature", *DOCUMENTS)}
    found["gaps"] = [str(gap.get("text")) for gap in content.get("gaps") or ()]
    return found | {f"file {file['path']}": words.digest(file["sha256"]) for file in content.get("files") or ()}


def _digest(part: object) -> str | None:
    """Of a part too large for a cell: equal ones are the same."""
    return None if part is None else words.digest(digest_of(canonical({"part": part})))
