"""A file of rows in, the same rows with predictions out; with the truth in a column it is evaluated."""

from collections.abc import Mapping, Sequence
from functools import partial

import pandas as pd
import streamlit as st

from dashboard import session
from dashboard.components import tables, widgets, words
from dashboard.components.row_form import labels_of
from dashboard.components.trust import FINGERPRINT
from dashboard.predict.evaluation import against_the_truth
from dashboard.predict.upload import Upload
from pipeline.governance.text import column_label, minus, visible
from pipeline.serving.batch.read import KINDS, kind_of
from pipeline.serving.batch.upload import ScoredUpload, UploadedRows, template
from pipeline.serving.predictions import Target
from pipeline.serving.targets import input_schema
from pipeline.validation.rows import MOST_NAME, Problem
from pipeline.validation.schema import ColumnSchema

MOST_NAMES = 40  # of columns that are listed
SHARE, ROW = "Share", "Row"
NUMBERED = "A row is called by its line in the file, where the header is line 1; in Parquet by its number."
HEAD_PIXELS, ROW_PIXELS, ROWS_THAT_FIT = 36, 33, 8


def file_of_rows(targets: Sequence[Target]) -> None:
    """The first version predicts the file; a second one is compared with it where the truth is known."""
    target, limits = targets[0], session.settings().serving
    columns = [each for each in (target.schema.columns if target.schema else ()) if not each.refusal][:MOST_NAMES]
    names = "; ".join(map(_column, columns))
    st.text(f"A CSV, tab-separated or Parquet file with these columns, in any order: {names}")
    st.caption(
        f"At most {limits.upload_megabytes:g} MB and {limits.upload_rows:,} rows. Other columns are kept; "
        "one that holds the truth is compared with the predictions."
    )
    st.download_button(
        "Template (CSV)", partial(_template, target), f"{_file_stem(target)}-template.csv", "text/csv",
        icon=":material/table:", on_click="ignore", help="The header and one row to overwrite",
    )  # fmt: skip
    uploaded = st.file_uploader("File of rows", type=[kind.removeprefix(".") for kind in KINDS], key="rows_file")
    if uploaded is None:
        Upload.forget()
        return
    file = Upload.of(uploaded.name, uploaded.getvalue())
    scored = file.scored(target)
    _summary(scored, known=target.notes)
    _downloads(scored, file.name)
    if scored.rows is not None:
        beside = targets[1] if len(targets) > 1 and targets[1].state.usable else None
        widgets.guarded(partial(against_the_truth, file, target, beside), "evaluation")
        _predictions(scored.rows)
        _outside(scored.rows, labels_of(input_schema(target)), scored.result.out_of_range)
        _preview(scored.rows, scored.result.scored, labels_of(input_schema(target)))


def _column(column: ColumnSchema) -> str:
    """The name as the file has it, with what people call it and whether it may be left out."""
    more = [column_label(column.name, column.description), "" if column.required else "optional"]
    told = ", ".join(filter(None, more))
    return visible(f"{column.name} ({told})" if told else column.name, most=words.LONGEST_COLUMN)


def _template(target: Target) -> bytes:
    return template(input_schema(target), target.example)


def _file_stem(target: Target) -> str:
    """Of a model's name what every file system takes."""
    kept = "".join(each if each.isalnum() or each in "-_" else "-" for each in target.resolved.model)
    return kept[:60] or "model"


def _downloads(scored: ScoredUpload, name: str) -> None:
    stem = name[: -len(kind_of(name))]
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


def _summary(scored: ScoredUpload, *, known: Sequence[str]) -> None:
    """Draws the counts and what to know. known: notes that the page shows already."""
    result = scored.result
    with st.grid(4, min_column_width=150):
        st.metric("Rows", f"{result.rows:,}", border=True)
        st.metric("Scored", f"{result.scored:,}", border=True)
        st.metric("Refused", f"{result.bad:,}", border=True)
        st.metric("Outside the training data", f"{result.out_of_range:,}", border=True)
    text = f"By version {result.version}. Fingerprint of its files {words.digest(result.digest)}."
    st.caption(text, help=FINGERPRINT)
    if result.bad:
        text = f"The first: {result.first_problem}"
        widgets.message(f"{words.count(result.bad, 'row')} refused", text, colour="orange")
    if result.ignored:
        st.text(
            f"Kept, and no input of the version: {', '.join(visible(each) for each in result.ignored[:MOST_NAMES])}"
        )
    for note in [note for note in result.notes if note not in known]:
        st.text(visible(note))


def _predictions(rows: UploadedRows) -> None:
    """How often each class was predicted; of numbers the smallest, the middle and the largest."""
    st.header("Predictions", anchor=False)
    if counts := rows.prediction_counts:
        total = sum(counts.values())
        frame = pd.DataFrame(
            {
                "Class": [tables.cell(name) for name in counts],
                "Rows": list(counts.values()),
                SHARE: [100 * count / total for count in counts.values()],
            }
        )
        config = {SHARE: st.column_config.ProgressColumn(format="%.1f %%", min_value=0, max_value=100)}
        st.dataframe(frame, hide_index=True, height="content", width=560, column_config=config, alt="Predicted classes")
    elif numbers := rows.numbers:
        with st.grid(len(numbers), min_column_width=150):
            for name, value in numbers.items():
                st.metric(name, minus(f"{value:.6g}"), border=True)
    else:
        st.caption("The preview below shows the first of them.")


def _outside(rows: UploadedRows, labels: Mapping[str, str], count: int) -> None:
    """Which rows hold a value outside the training data, and in which column."""
    if not rows.outside:
        return
    st.header("Outside the training data", anchor=False)
    listed = len({each.row for each in rows.outside})
    more = f", of which {listed:,} are listed" if listed < count else ""
    st.caption(f"{words.count(count, 'row')}{more}. They are predicted all the same: take those with care. {NUMBERED}")
    frame = pd.DataFrame(
        {
            ROW: [each.row for each in rows.outside],
            "Column": [words.column(each.column, labels) for each in rows.outside],
            "Value": [_without_place(each) for each in rows.outside],
        }
    )
    widgets.frame(frame, "Rows outside the training data", height=_height(len(frame)))


def _without_place(problem: Problem) -> str:
    """The sentence without the row and the column, which stand beside it."""
    return problem.sentence.removeprefix(f"row {problem.row}, {visible(problem.column, most=MOST_NAME)}: ")


def _preview(rows: UploadedRows, scored: int, labels: Mapping[str, str]) -> None:
    st.header("First rows", anchor=False)
    head = rows.head.to_pandas()
    predicted = [name for name in head.columns if name.startswith("prediction")]
    frame = head[[*predicted, *(name for name in head.columns if name not in predicted)]].rename(columns=tables.cell)
    frame.insert(0, ROW, rows.lines[: len(frame)])
    st.caption(f"{len(frame):,} of {words.count(scored, 'scored row')}; all are in the download. {NUMBERED}")
    shares = {name: st.column_config.NumberColumn(format="%.4f") for name in frame if name.startswith("probability_")}
    st.dataframe(
        frame,
        hide_index=True,
        height=_height(len(frame)),
        column_config={
            ROW: st.column_config.NumberColumn(pinned=True, width=65),
            **shares,
            **{tables.cell(name): words.column(name, labels) for name in labels if tables.cell(name) in frame},
        },
        placeholder=words.NOTHING,
        alt="The first rows of the file with their predictions",
    )


def _height(rows: int) -> int:
    """Of a table with a head and so many rows, as far as they fit."""
    return HEAD_PIXELS + ROW_PIXELS * min(rows, ROWS_THAT_FIT)
