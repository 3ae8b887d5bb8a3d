"""The log of predictions itself: what it keeps, for how long, and whether anything is missing."""

import pandas as pd
import streamlit as st

from dashboard import caching, session
from dashboard.components import tables, widgets, words
from pipeline import bootstrap
from pipeline.governance.rules.watching import WatchReport
from pipeline.governance.text import visible
from pipeline.monitoring.log_desk import LogDesk, LogStatus
from pipeline.monitoring.prediction_log import Block
from pipeline.settings.monitoring import LogSettings
from pipeline.validation.schema import schema_of

EVERY = 1.0
MOST_GAPS = 10
NO_COLUMN = "no column"
CLOSED, WRITING, GAP = "✓ Ended and said so", "· Writing", "! Gap"
STATE_COLOURS = {CLOSED: "green", WRITING: "gray", GAP: "orange"}
ACCOUNTED = "Answers that were counted; those of the sample have a row too"
KEYED = (
    "An HMAC under the operator's key: equal values look alike, and only who has the key can find one again. It is no "
    "anonymity: a column with few values can be guessed by whoever has the key."
)


@caching.made_once
def own_log() -> LogDesk:
    """The log for the dashboard itself. Raises InvalidInput for an address that cannot be used."""
    return bootstrap.log_desk(session.settings(), session.own_desk())


def log_desk() -> LogDesk:
    """The same for who looks at the page."""
    return own_log().as_(session.desk())


@caching.fresh(most=20)
def status(model: str) -> LogStatus:
    """Blocks and rows of the model."""
    return log_desk().status(model)


def log(watched: WatchReport) -> None:
    """The whole section."""
    found = status(watched.model)
    _complete(found)
    _kept(watched, found)
    _processes(found)


def _complete(found: LogStatus) -> None:
    """Whether what was answered is all there."""
    if not found.blocks:
        widgets.message("Empty", "Nothing that serves this model has written to the log yet.", colour="blue")
        return
    lines = [_gap(each) for each in found.gaps[:MOST_GAPS]]
    if len(found.gaps) > MOST_GAPS:
        lines.append(f"And {len(found.gaps) - MOST_GAPS:,} more: signoff log status.")
    if found.lost:
        lines.append(f"{words.count(found.lost, 'answer')} could not be written, and were not counted.")
    if lines:
        widgets.message("Something is missing", "\n".join(lines), colour="orange")
    else:
        text = "Every process that wrote to the log has said where it ended, or is still writing."
        widgets.message("Nothing is missing", text, colour="green")


def _gap(block: Block) -> str:
    """An open block whose process is gone, in words."""
    return (
        f"{visible(block.process)} ended without closing its block of numbers. It wrote last at "
        f"{words.to_the_second(block.written_at)}; what it answered after that, at most "
        f"{words.count(block.reserved - block.written, 'row')}, is neither counted nor kept."
    )


def _kept(watched: WatchReport, found: LogStatus) -> None:
    """What is stored of an answer, as the settings of this desk say."""
    settings = session.settings().monitoring.log
    st.header("What is kept", anchor=False)
    clear, keyed, others = _columns(watched, settings)
    widgets.facts(
        {
            "Answers that get a row": _sample(settings),
            "Rows kept": f"{'more than ' if found.rows.more else ''}{found.rows.n:,}",
            "Oldest row": words.when(found.rows.oldest),
            "A row is deleted after": words.count(settings.days, "day"),
            "Columns in clear": _named(clear),
            "Columns as HMAC": _named(keyed),
            "Columns not stored": _named(others),
            "Where": found.place,
        }
    )
    st.caption(
        "Of every row also: the answer with its probabilities, the version with the fingerprint of its files, the "
        "alias, when, and how long it took. Every answer is counted by hour, also without a row. As the settings of "
        "this desk say; what serves may have been started with others.",
        help=KEYED,
    )


def _sample(settings: LogSettings) -> str:
    if settings.sample == EVERY:
        return "every one"
    return f"{settings.sample * 100:.3g} % of them, by chance"


def _columns(watched: WatchReport, settings: LogSettings) -> tuple[list[str], list[str], list[str]]:
    """The columns of the champion that are stored in clear, as an HMAC and not at all."""
    evidence = session.evidence(watched.model, watched.version)
    schema = schema_of(evidence.feature_schema, evidence.content["signature"])
    names = () if schema is None else schema.names
    rest = [name for name in names if name not in {*settings.clear, *settings.keyed}]
    return settings.clear, settings.keyed, rest


def _named(names: list[str]) -> str:
    return visible(", ".join(names), most=1_000) or NO_COLUMN


def _processes(found: LogStatus) -> None:
    """Each process with its block of numbers."""
    if not found.blocks:
        return
    st.header("Who wrote", anchor=False)
    frame = pd.DataFrame(
        {
            "Process": [words.name(each.process) for each in found.blocks],
            "State": [[_state(each, found)] for each in found.blocks],
            "Answers": [each.written for each in found.blocks],
            "Lost": [each.lost for each in found.blocks],
            "Opened": [tables.utc(each.opened_at) for each in found.blocks],
            "Last written": [tables.utc(each.written_at) for each in found.blocks],
        }
    )
    state = st.column_config.MultiselectColumn(
        options=list(STATE_COLOURS), color=list(STATE_COLOURS.values()), width=160
    )
    widgets.frame(
        frame,
        "Processes that wrote to the log",
        height=widgets.height_of(len(frame)),
        columns={
            "State": state,
            "Answers": st.column_config.NumberColumn(help=ACCOUNTED),
            **widgets.times_to_the_second("Opened", "Last written"),
        },
    )


def _state(block: Block, found: LogStatus) -> str:
    if block.closed_at is not None:
        return CLOSED
    return GAP if block.is_gap(found.now) else WRITING
