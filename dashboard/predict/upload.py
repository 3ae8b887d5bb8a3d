"""A file of rows in, the same rows with predictions out."""

import hashlib
from collections.abc import Sequence

import streamlit as st

from dashboard import session
from dashboard.components import widgets, words
from pipeline.governance.text import visible
from pipeline.serving.batch.batch import ScoredUpload, score_upload
from pipeline.serving.batch.read import KINDS, kind_of
from pipeline.serving.predictions import Target

KEPT = "scored_upload"  # under which the session keeps the last upload and its predictions
MOST_NAMES = 40  # of columns that are listed


def file_of_rows(target: Target) -> None:
    limits = session.settings().serving
    columns = [each for each in (target.schema.columns if target.schema else ()) if not each.refusal][:MOST_NAMES]
    names = ", ".join(visible(each.name) + ("" if each.required else " (optional)") for each in columns)
    st.text(f"A CSV, tab-separated or Parquet file with these columns, in any order: {names}")
    st.caption(f"At most {limits.upload_megabytes:g} MB and {limits.upload_rows:,} rows. Other columns are kept.")
    uploaded = st.file_uploader("File of rows", type=[kind.removeprefix(".") for kind in KINDS], key="rows_file")
    if uploaded is None:
        st.session_state.pop(KEPT, None)
        return
    content = uploaded.getvalue()
    scored = _scored(target, content, uploaded.name)
    _summary(scored, known=target.notes)
    stem = uploaded.name[: -len(kind_of(uploaded.name))]
    with st.container(horizontal=True):
        st.download_button(
            "Download predictions", scored.output, f"{stem}.predictions.csv", "text/csv", type="primary",
            icon=":material/download:", on_click="ignore",
        )  # fmt: skip
        if scored.bad:
            st.download_button(
                "Download refused rows", scored.bad, f"{stem}.bad.csv", "text/csv", icon=":material/download:",
                on_click="ignore",
            )  # fmt: skip


def _scored(target: Target, content: bytes, name: str) -> ScoredUpload:
    """The predictions for a file, made once per file and version: every click on the page runs the page again."""
    key = (hashlib.sha256(content).hexdigest(), target.digest, name)
    kept = st.session_state.get(KEPT)
    if kept and kept[0] == key:
        found: ScoredUpload = kept[1]
        return found
    limits, bar = session.settings().serving, st.progress(0.0, "Reading")

    def report(done: int, total: int, text: str) -> None:
        bar.progress(min(1.0, done / total), text)

    try:
        scored = score_upload(
            session.scorer(),
            target,
            content,
            name=name,
            most_bytes=int(limits.upload_megabytes * 2**20),
            most_rows=limits.upload_rows,
            chunk_rows=limits.chunk_rows,
            report=report,
        )
    finally:
        bar.empty()
    st.session_state[KEPT] = (key, scored)
    return scored


def _summary(scored: ScoredUpload, *, known: Sequence[str]) -> None:
    """Draws the counts and what to know. known: notes that the page shows already."""
    result = scored.result
    with st.grid(4, min_column_width=150):
        st.metric("Rows", f"{result.rows:,}", border=True)
        st.metric("Scored", f"{result.scored:,}", border=True)
        st.metric("Refused", f"{result.bad:,}", border=True)
        st.metric("Outside the training data", f"{result.out_of_range:,}", border=True)
    st.caption(f"Version {result.version}, files {words.digest(result.digest)}")
    if result.bad:
        text = f"The first: {result.first_problem}"
        widgets.message(f"{words.count(result.bad, 'row')} refused", text, colour="orange")
    if result.ignored:
        st.text(f"Not used: {', '.join(visible(each) for each in result.ignored[:MOST_NAMES])}")
    for note in [note for note in result.notes if note not in known]:
        st.text(visible(note))
