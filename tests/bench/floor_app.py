"""The floor of the page figures: an empty page, and the versions page's own elements with constant data."""

import pandas as pd
import streamlit as st

STAGES = ["None", "Staging", "Production", "Archived"]
TABLE = pd.DataFrame(
    {
        "Version": [4, 3, 2, 1],
        "Stage": [["Staging"], ["Staging"], ["Staging"], ["Production"]],
        "Aliases": [[], [], [], ["champion"]],
        "f1_macro": [0.9764, 0.9040, 0.9412, 0.8789],
        "accuracy": [0.9764, 0.8986, 0.9389, 0.8792],
        "log_loss": [0.1520, 0.5029, 0.4086, 0.4541],
        "Type": ["hist_gradient_boosting", "extra_trees", "random_forest", "logistic_regression"],
        "Producer": ["constant"] * 4,
        "Status": ["READY"] * 4,
        "Created": pd.to_datetime(["2026-01-01"] * 4),
        "Description": ["constant"] * 4,
    }
)
FOUR_DIGITS = st.column_config.NumberColumn(format="%.4f")


def empty() -> None:
    st.title("Empty", anchor=False)
    st.button("Rerun", on_click=count)
    st.text(f"Clicks: {st.session_state.get('clicks', 0)}")


def table() -> None:
    st.title("Table", anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox("Model", ["constant"], width=260)
        st.text_input("Filter", type="search", width=260)
        st.pills("Stage", STAGES, selection_mode="multi")
    st.caption("4 of 4 versions.")
    st.dataframe(
        TABLE,
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            "Stage": st.column_config.MultiselectColumn(options=STAGES, color=["gray", "orange", "green", "gray"]),
            "Aliases": st.column_config.MultiselectColumn(options=["champion"], color=["blue"]),
            "f1_macro": FOUR_DIGITS,
            "accuracy": FOUR_DIGITS,
            "log_loss": FOUR_DIGITS,
        },
    )


def count() -> None:
    st.session_state["clicks"] = st.session_state.get("clicks", 0) + 1


st.set_page_config(layout="wide")
st.navigation([st.Page(empty, title="Empty"), st.Page(table, title="Table")]).run()
