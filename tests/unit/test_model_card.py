"""The model card of a version: what it says, and that nothing from the registry is read as markup."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from markdown_it import MarkdownIt

from pipeline.governance.errors import NotFound
from pipeline.governance.lifecycle import Stage
from pipeline.governance.record.ledger import EventType
from pipeline.model_card import Card, Section, Table, describe, to_html, to_markdown
from pipeline.model_card.charts import BarChart, IntervalChart
from support.desks import GRACE, MODEL, REASON, build_desk, good_documents, registered_again, small_registry
from support.in_memory import InMemoryRegistry

EVALUATION = {
    "n": 627,
    "confidence": 0.95,
    "per_class": [{"class": "Normal_Weight", "recall": 0.8, "recall_low": 0.7, "recall_high": 0.9, "n": 80}],
    "slices": [{"column": "SMOKE", "value": "yes", "n": 12, "accuracy": 0.5, "low": 0.2, "high": 0.8}],
}
EXPLANATION = {"method": "exact", "scale": "probability", "n": 300, "sampled": True, "sum_error": 1e-12,
               "tolerance": 1e-9, "importance": [{"column": "Weight", "mean_abs": 0.25}]}  # fmt: skip
HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[click](javascript:alert(1))",
    "![x](http://evil.example/x.png)",
    "https://evil.example and www.evil.example",
    "**bold** _it_ `code` ~~gone~~ | cell |",
    "# heading",
    "1. first",
    "- item",
    "+ item",
    "&lt;b&gt; &amp; &#60;",
    "line\nbreak\u202ereversed\x00",
    "\\*",
    '" onmouseover="x',
    "</td></table><h1>x",
    "---",
]


SHARE = {"value": 0.9, "low": 0.8, "high": 0.95}
SHAPES = {"svg", "text", "line", "rect", "circle"}
DRAWN = {"viewbox", "role", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "width", "height", "transform",
         "fill-opacity"}  # fmt: skip


def full_desk() -> Any:
    registry = small_registry(versions=0)
    documents = good_documents(0.93)
    documents["evaluation"] |= EVALUATION
    documents["explanation"] = EXPLANATION
    documents["lineage"] = {"data": {"source": "generated sample data", "rows": 2400}, "git": {"commit": "c0ffee"},
                            "split": {"test_share": 0.3}}  # fmt: skip
    tags = {"intended_use": "Leaflets only.", "limitations": "Adults only."}
    files = {"MLmodel": b"x", "model.skops": b"y"}
    registry.add_version(MODEL, documents=documents, tags=tags, files=files, signature={"inputs": []})
    return build_desk(registry)


def section(card: Card, title: str) -> Section:
    return next(each for each in card.sections if each.title == title)


def test_says_what_a_reader_needs() -> None:
    """Use, data, metrics with interval and n, classes, slices, explanation, limits, gates, files."""
    card = describe(full_desk(), MODEL, 1)

    assert card.title == "Model card: obesity_classifier, version 1"
    assert section(card, "Intended use").sentences[0] == "Leaflets only."
    assert ("data rows", "2,400") in section(card, "Data").table.rows
    assert ("split test share", "0.3") in section(card, "Data").table.rows
    assert section(card, "Metrics").table.rows == (("accuracy", "0.9300", "0.9100", "0.9500", "627"),)
    assert "| Accuracy | 0.9300 |" in to_markdown(card)
    assert section(card, "Metrics").table.heads[2] == "Low (95% interval)"
    assert section(card, "Per class").table.rows[0][:2] == ("Normal_Weight", "0.8000")
    assert section(card, "Slices").table.rows == (("SMOKE = yes", "0.5000", "0.2000", "0.8000", "12"),)
    assert section(card, "Explanation").table.rows == (("Weight", "0.2500"),)
    assert "account for" in section(card, "Explanation").sentences[1]
    assert section(card, "Limits").sentences == (
        "Adults only.",
        "Trained and evaluated on generated sample data.",
        "Fewer than 30 evaluation rows, too few to judge: SMOKE = yes.",
        "Lowest recall: Normal_Weight, 0.8000 (n = 80).",
        "The explanations are sampled, not exact.",
    )
    assert section(card, "Gates").sentences == (
        "For Staging, under the policy of now, but for those about the moment of a decision.",
    )
    assert section(card, "Gates").table.rows[0][:2] == ("Files unchanged since recorded", "passed")
    assert section(card, "Files").sentences[0].startswith("Fingerprint of all files (sha256): ")
    assert [row[0] for row in section(card, "Files").table.rows] == ["MLmodel", "model.skops"]


def test_says_what_was_changed_outside_of_the_desk() -> None:
    """First, in the words of the screens."""
    desk = full_desk()
    desk.promote(MODEL, 1, Stage.STAGING, reason=REASON, actor=GRACE, accept_warnings=True)
    assert section(describe(desk, MODEL, 1), "Version").sentences == ()

    desk.registry.set_alias(MODEL, "champion", 1)

    [said] = section(describe(desk, MODEL, 1), "Version").sentences
    assert said.startswith("The champion was changed outside of this desk: the registry says version 1")


def test_tells_the_decisions_of_this_version_so_far() -> None:
    """Who, when, from what to what, why; the gates are those of the next step."""
    desk = build_desk()
    for version in (1, 2):
        desk.promote(MODEL, version, Stage.STAGING, reason=REASON, actor=GRACE)
    card = describe(desk, MODEL, 1)
    applied = next(each for each in desk.history(MODEL) if each.type is EventType.APPLIED)

    assert section(card, "Decisions so far").table.rows == (
        (
            "2",
            f"{applied.at:%Y-%m-%d %H:%M:%S}",
            "grace moved version 1 to Staging",
            "grace (self-declared)",
            "version 1 no stage → Staging",
            REASON,
        ),
    )
    assert section(card, "Gates").sentences == (
        "For Production, under the policy of now, but for those about the moment of a decision.",
    )


def test_the_decisions_are_those_of_this_version_not_of_its_number() -> None:
    """A version that was deleted had the number before: its approvals are nobody else's."""
    desk = build_desk()
    for stage in (Stage.STAGING, Stage.PRODUCTION):
        desk.promote(MODEL, 1, stage, reason=REASON, actor=GRACE)
    registered_again(desk)
    before = section(describe(desk, MODEL, 1), "Decisions so far")
    desk.promote(MODEL, 1, Stage.STAGING, reason=REASON, actor=GRACE)
    after = section(describe(desk, MODEL, 1), "Decisions so far")

    assert before.missing == ("Nothing was decided about this version.",)
    assert [row[4] for row in after.table.rows] == ["version 1 no stage → Staging"]


def test_a_bare_version_lists_what_is_missing() -> None:
    """Every part by name, nothing invented."""
    registry = InMemoryRegistry()
    registry.add_model(MODEL)
    registry.add_version(MODEL, files={})
    card = describe(build_desk(registry), MODEL, 1)
    missing = {each.title: each.missing for each in card.sections if each.missing}

    assert missing["Intended use"] == (
        "No intended use is written down (tag intended_use of the version or the model).",
    )
    assert missing["Data"] == ("Which data the version was trained on is not recorded.",)
    assert missing["Metrics"] == ("No metrics.",)
    assert missing["Per class"] == ("No metrics per class.",)
    assert missing["Slices"] == ("No accuracy per slice.",)
    assert missing["Explanation"] == ("No explanation summary.",)
    assert missing["Decisions so far"] == ("Nothing was decided about this version.",)
    assert missing["Files"] == ("The files cannot be read.",)
    assert missing["Missing in the registry"][0].startswith("files: ")
    assert "- Missing: No metrics." in to_markdown(card)


def test_documents_from_strangers_may_be_anything() -> None:
    """A card is made of whatever parses."""
    registry = small_registry(versions=0)
    odd = {"evaluation": {"per_class": [3, {"class": None}], "slices": "many", "metrics": []},
           "explanation": {"importance": [1, {}], "sum_error": "much"}, "lineage": [], "data_report": {"dropped": 3},
           "feature_schema": {"target": {"name": "level", "classes": 7}}}  # fmt: skip
    registry.add_version(MODEL, documents=odd, files={"MLmodel": b"x"})
    card = describe(build_desk(registry), MODEL, 1)

    assert section(card, "Per class").table.rows[0] == ("",) * 7
    assert "Predicts level." in section(card, "Intended use").sentences
    assert to_html(card)
    assert to_markdown(card)


def test_a_version_that_is_not_there() -> None:
    """Has no card."""
    with pytest.raises(NotFound):
        describe(build_desk(), MODEL, 99)


def card_with(text: str) -> Card:
    registry = small_registry(versions=0)
    evaluation = {"per_class": [{"class": text, "recall": 0.5}], "metrics": {"accuracy": SHARE, text: SHARE},
                  "confusion": {"classes": [text, "b"], "matrix": [[3, 1], [0, 4]]}}  # fmt: skip
    explanation = {"importance": [{"column": text, "mean_abs": 0.2}], "scale": text}
    documents = {"evaluation": evaluation, "lineage": {"data": {text: text}}, "explanation": explanation}
    registry.add_version(MODEL, tags={"intended_use": text}, documents=documents, files={"MLmodel": b"x"})
    return describe(build_desk(registry), MODEL, 1)


class Tags(HTMLParser):
    """Every element and attribute of a page, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.mark.parametrize("text", HOSTILE)
def test_text_of_the_registry_is_text_in_html(text: str) -> None:
    """No element or attribute comes from it, and a reader sees it as it was written."""
    page = Tags()
    page.feed(to_html(card_with(text)))

    assert page.tags <= {"html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "ul", "li", "div", "table",
                         "thead", "tbody", "tr", "th", "td", "wbr", *SHAPES}  # fmt: skip
    assert page.attributes <= {"lang", "charset", "http-equiv", "content", "name", "class", *DRAWN}
    if text.isprintable():
        assert text in "".join(page.text)


@pytest.mark.parametrize("text", HOSTILE)
def test_text_of_the_registry_is_text_in_markdown(text: str) -> None:
    """Rendered by a real parser with tables, strike-through and bare links on, it is the same text."""
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    tokens = parser.parse(to_markdown(card_with(text)))
    plain = parser.parse(to_markdown(card_with("words\nwords" if "\n" in text else "words")))
    inline = [token for outer in tokens for token in outer.children or []]

    assert [token.type for token in tokens] == [token.type for token in plain]
    assert {token.type for token in inline} <= {"text", "text_special"}
    if text.isprintable():
        assert text in ["".join(token.content for token in outer.children or []) for outer in tokens]


def test_bare_addresses_become_no_links() -> None:
    """GitHub turns them into links unless the colon or the first point is escaped."""
    text = to_markdown(card_with("https://evil.example www.evil.example ftp://x mailto:a@b.example"))

    assert "https:/" not in text
    assert "www." not in text
    assert "mailto:" not in text


def test_html_is_self_contained() -> None:
    """It forbids itself to load anything, and refers to nothing."""
    page = to_html(describe(full_desk(), MODEL, 1))

    assert "default-src 'none'" in page
    assert all(word not in page for word in ("http://", "https://", "src=", "href=", "url(", "@import", "<script"))


def test_charts_show_what_the_tables_say() -> None:
    """Intervals, the confusion matrix and the importance, as pictures inside the one file."""
    desk = full_desk()
    card = describe(desk, MODEL, 1)
    page = to_html(card_with("Weight"))

    assert section(card, "Metrics").chart == IntervalChart((("accuracy", 0.93, 0.91, 0.95),))
    assert section(card, "Explanation").chart == BarChart((("Weight", 0.25),), "probability")
    assert section(card, "Per class").chart is None
    assert page.count("<svg ") == 3
    assert 'fill-opacity="0.750"' in page


def test_what_people_wrote_is_whole_and_words_do_not_break() -> None:
    """Each paragraph of the use and the limits; a name may break at its seams only, a digest anywhere."""
    registry = small_registry(versions=0)
    words = "Only for adults. " * 200
    columns = {"family_history": {"type": "category", "description": "Overweight in the family"}}
    slices = [{"column": "family_history", "value": "yes", "n": 40, "accuracy": 0.9}]
    documents = {"feature_schema": {"columns": columns}, "evaluation": {"slices": slices}}
    tags = {"intended_use": f"First.\n\n{words}", "limitations": words}
    registry.add_version(MODEL, documents=documents, tags=tags, files={"MLmodel": b"x"})
    card = describe(build_desk(registry), MODEL, 1)
    page = to_html(card)

    assert section(card, "Intended use").sentences[:2] == ("First.", words.strip())
    assert section(card, "Limits").sentences[0] == words.strip()
    assert "<td>Overweight in the family (family_<wbr>history) = yes</td>" in page
    assert re.search(r'<td class="long">[0-9a-f]{64}</td>', page)
    assert "anywhere" not in page.replace("td.long { overflow-wrap: anywhere; }", "")


def test_numbers_stand_right() -> None:
    """A column is one of numbers when every cell that is not empty is one."""
    card = Card("t", (Section("s", table=Table(("Name", "n"), (("a", "1,200"), ("b", ""), ("c", "-0.5")))),))

    assert "| --- | ---: |" in to_markdown(card)
    assert '<td class="number">1,200</td>' in to_html(card)
    assert card.as_json()["sections"][0]["table"][0] == {"Name": "a", "n": "1,200"}
