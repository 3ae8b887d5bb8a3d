"""The model card as a page: everything that the file says, safe to show and to print."""

import pytest

from dashboard.components import words
from pipeline.governance.lifecycle import Stage
from support.desks import GRACE, MODEL, REASON, build_desk, good_documents, small_registry
from support.in_memory import InMemoryRegistry
from support.seen import texts

PARTS = ["Version", "Intended use", "Data", "Metrics", "Per class", "Slices", "Explanation", "Limits", "Gates",
         "Decisions so far", "Files", "Missing in the registry"]  # fmt: skip


def test_the_card_is_a_page(open_page):
    """Every part in order, with the whole intended use, charts, the decisions, and links to its files."""
    registry = small_registry(versions=0)
    documents = good_documents(0.93)
    documents["explanation"] = {"importance": [{"column": "Weight", "mean_abs": 0.25}], "scale": "probability"}
    use = "Leaflets only. " * 60
    registry.add_version(MODEL, documents=documents, tags={"intended_use": use}, files={"MLmodel": b"x"}, signature={})
    desk = build_desk(registry)
    desk.promote(MODEL, 1, Stage.STAGING, reason=REASON, actor=GRACE, accept_warnings=True)
    app = open_page(desk, "card", model=MODEL, version="1")

    assert not app.exception
    assert [each.value for each in app.title] == [r"Model card of version 1 of obesity\_classifier"]
    assert [each.value for each in app.header] == PARTS
    assert use.strip() in texts(app)
    assert len(app.get("plotly_chart")) == 2
    assert any(REASON in each.value.to_string() for each in app.table)
    assert {each.label for each in app.get("download_button")} == {"HTML", "Markdown"}


def test_long_tables_are_folded_until_the_page_is_to_be_printed(open_page):
    """The address keeps that they are unfolded: a link can be one to the page as it is printed."""
    registry = small_registry(versions=0)
    slices = [{"column": "Age", "value": str(age), "n": 40, "accuracy": 0.9} for age in range(13)]
    documents = good_documents(0.93)
    documents["evaluation"] = {**documents["evaluation"], "slices": slices}
    registry.add_version(MODEL, documents=documents, files={"MLmodel": b"x"}, signature={})
    folded, unfolded = (
        next(each for each in open_page(build_desk(registry), "card", model=MODEL, **named).expander)
        for named in ({}, {"unfolded": "true"})
    )

    assert (folded.label, folded.proto.expanded, unfolded.proto.expanded) == ("13 lines", False, True)


@pytest.mark.parametrize(
    "text",
    ["**bold**", ":material/check: ok", "https://evil.example", "www.evil.example", "1. first", "1.", "`x`", "a:100:b",
     "a -> b", "x@evil.example", "[a](b)", "<b>", "$x$", "- item", "a~b~"],
)  # fmt: skip
def test_a_cell_of_the_card_is_no_markdown(text):
    """A table of this page is markdown: whatever could be more than words is quoted, plain text is left as it is."""
    quoted = words.passage(text)

    assert quoted.startswith("`")
    assert quoted.endswith("`")
    for plain in (
        "0.8833 (lower bound 0.8366)",
        "2026-11-28 20:00:05",
        "champion none → 1; no stage → Staging",
        "",
        "a/b.json",
    ):
        assert words.passage(plain) == plain


def test_a_registry_without_versions(open_page):
    """Says so."""
    app = open_page(build_desk(InMemoryRegistry()), "card")

    assert not app.exception
    assert app.info
