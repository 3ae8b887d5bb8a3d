"""Every version of a model with its figures, stage and aliases; a row leads to its review, several to Compare."""

import pandas as pd
import streamlit as st

from dashboard import pages, session
from dashboard.components import tables, trust, widgets, words
from dashboard.components.picker import LAST_MODEL, picked_model, reference_first
from dashboard.versions.archive import archive_form
from pipeline.governance.lifecycle import CHAMPION, Stage


def versions_page() -> None:
    st.title("Versions", anchor=False)
    names = [record.name for record in session.models()]
    if not names:
        st.info("The registry has no models. The overview says how to fill it.")
        pages.link_overview()
        return
    with st.container(horizontal=True):
        model = filters_model(names)
        frame = session.versions(model)
        found = filtered(frame)
    actions = st.container(horizontal=True, vertical_alignment="center")
    chosen = table(trust.with_trust(found, model), session.metric_names(model), key=f"versions/{model}")
    with actions:
        if not chosen:
            most = trust.MOST_LOOKED_AT
            more = "" if len(found) <= most else f" Trust is looked at for {most}, those in use first."
            st.caption(
                f"{len(found):,} of {len(frame):,} versions. Select one to review it, or several to compare.{more}"
            )
        elif len(chosen) == 1:
            st.text(f"Version {chosen[0]} selected")
            trust.trust_badge(model, chosen[0])
            pages.link_review(f"Review version {chosen[0]}", model, chosen[0])
        else:
            st.text(f"{len(chosen):,} versions selected")
            pages.link_compare("Compare them", model, reference_first(model, chosen))
        pages.link_history("History", model)
    archive_form(model, chosen)


def filters_model(names: list[str]) -> str:
    model = picked_model(names)
    st.session_state["versions_model"] = st.session_state[LAST_MODEL] = model
    st.query_params["model"] = model
    st.selectbox("Model", names, key="versions_model", on_change=open_model, format_func=words.name, width=260)
    return model


def open_model() -> None:
    st.query_params["model"] = st.session_state["versions_model"]


def filtered(frame: pd.DataFrame) -> pd.DataFrame:
    text = st.text_input(
        "Filter", key="q", type="search", bind="query-params", placeholder="Type, alias, tag or text", width=260
    )
    words_of_stages = [stage.value for stage in Stage]
    stages = st.pills("Stage", words_of_stages, selection_mode="multi", key="stage", bind="query-params")
    return tables.narrowed(frame, text or "", stages)


def table(found: pd.DataFrame, metrics: list[str], *, key: str) -> list[int]:
    """The version numbers of the selected rows."""
    aliases = sorted({alias for names in found["Aliases"] for alias in names} - {CHAMPION})
    shown = found.drop(columns=tables.TEXT_COLUMN)
    shown["Stage"] = found["Stage"].map(lambda stage: [stage])
    figures = {name: st.column_config.NumberColumn(format=widgets.FOUR_DIGITS) for name in metrics}
    event = st.dataframe(
        shown,
        hide_index=True,
        height=widgets.height_of(len(shown)),
        key=key,
        on_select="rerun",
        selection_mode="multi-row",
        column_config={
            "Version": st.column_config.NumberColumn(format="%d", pinned=True, width=75),
            "Stage": widgets.stage_column(),
            "Status": st.column_config.TextColumn(width=75, help="MLflow's; READY says nothing about the files"),
            "Owner": st.column_config.TextColumn(help="The tag owner or mlflow.user, else what made the version"),
            "Aliases": st.column_config.MultiselectColumn(
                options=[CHAMPION, *aliases], color=["blue", *("gray" for _ in aliases)]
            ),
            "Gates": st.column_config.TextColumn(
                help="At the last decision about the version; its review has them now"
            ),
            **trust.column(),
            **figures,
            **widgets.times("Created"),
        },
        placeholder=words.NOTHING,
        alt="Versions with metrics, stage, aliases and gates",
    )
    return [int(found["Version"].iloc[row]) for row in event.selection.rows if row < len(found)]


versions_page()
