"""What somebody must look at in production: one box per model."""

from collections.abc import Iterable

from dashboard import caching, pages, session
from dashboard.components import widgets, words
from pipeline.governance.record.findings import Finding, Severity, by_matter
from pipeline.governance.record.history import ModelOverview
from pipeline.governance.text import visible

MOST_LINES = 3
LONGEST_TEXT = 200


@caching.fresh(most=1)
def waiting() -> tuple[Finding, ...]:
    """Every open finding, the newest first."""
    return tuple(session.desk().findings())


def boxes(models: Iterable[ModelOverview]) -> None:
    """One per model that has some, the urgent findings first."""
    known = {each.record.name for each in models}
    for name in dict.fromkeys(each.model for each in waiting()):
        if name not in known:
            continue
        urgent = sorted((each for each in waiting() if each.model == name), key=lambda each: -each.severity.rank)
        found = [same[0] for same in by_matter(urgent)]
        high = found[0].severity is Severity.HIGH
        lines = [f"Version {each.version}: {visible(each.what, most=LONGEST_TEXT)}" for each in found[:MOST_LINES]]
        lines += [f"And {len(found) - MOST_LINES:,} more."] if len(found) > MOST_LINES else []
        title = f"{words.count(len(found), 'finding')} of {words.label(name)}"
        with widgets.message(title, "\n".join(lines), colour="red" if high else "orange"):
            pages.link_monitoring("See what differs, and close it", name)
