"""Models and versions, as the verbs print them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.cli.printing import digits, line, table, when
from pipeline.governance.evidence import entry_of

if TYPE_CHECKING:
    from pipeline.governance.evidence import Evidence
    from pipeline.governance.ports import ModelRecord, VersionRow
    from pipeline.governance.service import Best

# What `show` prints of the lineage; `--json` has all of it.
LINEAGE = (
    ("data", "source"),
    ("data", "sha256"),
    ("git", "commit"),
    ("git", "changed"),
    ("environment", "python"),
    ("environment", "lock_sha256"),
    ("environment", "processor", "features"),
    ("environment", "processor", "blas"),
)


def models(records: "Sequence[ModelRecord]") -> None:
    rows = [[each.name, each.versions, each.aliases.get("champion"), each.latest, each.description] for each in records]
    table(["Model", "Versions", "Champion", "Latest", "Description"], rows, empty="The registry has no models.")


def versions(rows: "Sequence[VersionRow]", metrics: Sequence[str]) -> None:
    names = list(dict.fromkeys(metrics))
    lines = [
        [row.version, row.stage.value, ", ".join(row.aliases), row.status, row.tags.get("model_type")]
        + [digits(row.metrics.get(name)) for name in names]
        + [when(row.created_at)]
        for row in rows
    ]
    heads = ["Version", "Stage", "Aliases", "Status", "Type", *names, "Created (UTC)"]
    table(heads, lines, empty="The model has no versions.")


def best(found: "Best") -> None:
    versions([found.row], [found.metric])
    line(f"Best of all versions: the {found.direction.value} {found.metric}.")
    if found.left_out:
        line(f"Left out, for a share lies between 0 and 1: version {', '.join(map(str, found.left_out))}.")


def evidence(found: "Evidence") -> None:
    content = found.content
    facts = ("model", "version", "stage", "aliases", "status", "run_id", "created_at", "source", "description")
    table(
        ["", ""],
        [[name, content[name]] for name in facts] + [["evidence", found.digest], ["digest", found.file_digest]],
    )
    metrics = [
        [each.name, digits(each.value), digits(each.low), digits(each.high), each.n, each.dataset or None]
        for each in found.metrics()
    ]
    columns = 6 if found.datasets else 5
    heads = ["Metric", "Value", "Low", "High", "n", "Dataset"]
    table(heads[:columns], [each[:columns] for each in metrics], empty="No metrics.")
    table(["Lineage", ""], _lineage(found.document("lineage")), empty="No lineage.")
    files = [[each["path"], each["size"], each["sha256"]] for each in content["files"]]
    table(["File", "Bytes", "sha256"], files, empty="No files.")
    if found_refusals := refusals(found):
        table(["Cannot be given here"], [[each] for each in found_refusals])
    table(["Missing", "Why"], [[gap.name, gap.text] for gap in found.gaps], empty="Nothing is missing.")


def refusals(found: "Evidence") -> tuple[str, ...]:
    """Columns of which no value can be given here."""
    from pipeline.validation.schema import refusals_of

    return refusals_of(found.document("feature_schema"), found.content["signature"])


def _lineage(document: "Mapping[str, Any]") -> list[list[object]]:
    found = {path: entry_of(document, *path[:-1]).get(path[-1]) for path in LINEAGE}
    return [[".".join(path), value] for path, value in found.items() if value not in (None, [])]
