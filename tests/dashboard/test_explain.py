"""The Explain page: why, from the files that came with a version and live, in every state of trust."""

import numpy as np
import pytest

from dashboard.components import explanation_charts
from dashboard.explain.columns import matched
from dashboard.explain.one_row import WRONG
from pipeline.comparison.rows import read_rows
from pipeline.explanation.result import from_npz
from pipeline.governance.errors import InvalidInput
from pipeline.governance.record.documents import parse_explanation
from pipeline.serving.worker.client import Worker
from support.desks import MODEL, build_desk
from support.explained_desk import REGRESSION, desk_of
from support.in_memory import InMemoryRegistry
from support.seen import badges, button, frame, markdown_sources, texts


@pytest.fixture
def desk(models, worker, score_with):
    score_with(worker)
    return desk_of(models)


def test_the_columns_of_a_trusted_version(desk, open_page):
    """The page says that it is trusted, how it was explained, and draws bars, swarm and one column."""
    app = open_page(desk, "explain", model=MODEL, version="1")

    assert not app.exception
    assert any("Files as approved" in each for each in badges(app))
    assert "Exact effects, which account for the whole answer." in texts(app)
    assert any("`exact (tree, path-dependent)`" in each.proto.help for each in app.text)
    assert len(app.get("plotly_chart")) == 3


def test_a_link_to_a_row_opens_it(desk, open_page):
    """The row of the address is explained with sentences that have units, and the sum is checked."""
    app = open_page(desk, "explain", model=MODEL, version="1", row="17")

    assert not app.exception
    assert "Row 17" in [each.value for each in app.header]
    assert " kg raises " in texts(app) or " kg lowers " in texts(app)
    assert "Exact effects, which account for the whole answer." in texts(app)


def test_a_row_that_is_not_there(desk, open_page):
    """One sentence, no traceback."""
    app = open_page(desk, "explain", model=MODEL, version="1", row="999999")

    assert not app.exception
    assert "there is no '999999'" in texts(app)


def test_wrong_ones_are_found(desk, open_page):
    """The filter leaves the rows that were predicted wrongly, and the first is explained."""
    app = open_page(desk, "explain", model=MODEL, version="1", show="One row", rows=WRONG)

    table = frame(app, "Row")
    assert 3 in table["Row"].tolist()
    assert (table["Actual"] != table["Predicted"]).all()
    assert f"Row {table['Row'].iloc[0]}" in [each.value for each in app.header]


def test_another_class(desk, open_page):
    """The class picker changes what is explained."""
    app = open_page(desk, "explain", model=MODEL, version="1", row="5", **{"class": "Normal_Weight"})

    assert "Explained: Normal_Weight" in texts(app)


def test_a_version_in_review_is_live_and_marked(desk, open_page):
    """Not approved is said; its scale is log-odds; a second opinion has agreement and fit."""
    app = open_page(desk, "explain", model=MODEL, version="2", row="4", opinion="true")

    assert not app.exception
    assert any("Not approved yet" in each for each in badges(app))
    assert "log-odds" in texts(app)
    assert "largest columns. R²" in texts(app)


def test_an_untrusted_version_shows_its_files(desk, open_page):
    """A pickle is not loaded; the stored values are shown as data, and nothing can be typed in."""
    app = open_page(desk, "explain", model=MODEL, version="3", show="One row")

    assert not app.exception
    assert any("Not safe to load" in each for each in badges(app)), (badges(app), texts(app))
    assert "As stored with the version, not recomputed." in [each.value for each in app.caption]
    assert not app.number_input


def test_a_tampered_version(desk, open_page):
    """Bytes that are not those of the ledger are said in red, and not loaded."""
    desk.registry.write_file(MODEL, 1, "model.skops", content=b"other")
    app = open_page(desk, "explain", model=MODEL, version="1", show="One row")

    assert not app.exception
    assert any("Files changed" in each for each in badges(app))
    assert "the record says" in texts(app)


def test_a_typed_row_of_a_plain_model(desk, open_page):
    """A regression model without schema and explanation files is explained live from its example's columns."""
    app = open_page(desk, "explain", model=REGRESSION, version="1", show="One row", source="Typed in")
    app.number_input[0].set_value(99.0)
    button(app, "Explain").click().run()

    assert not app.exception
    assert "raises the output by" in texts(app) or "lowers the output by" in texts(app)


def test_a_plain_model_has_no_summary(desk, open_page):
    """What is missing is named, and what can be had all the same."""
    app = open_page(desk, "explain", model=REGRESSION, version="1")

    assert not app.exception
    told = "The version came without an explanation summary. One row can be explained all the same, live."
    assert told in [each.value for each in app.caption]


def test_a_worker_that_crashes_is_one_sentence(desk, open_page, score_with):
    """The page stays, says so, and the next visit works."""
    score_with(Worker(memory_megabytes=64))
    app = open_page(desk, "explain", model=MODEL, version="1", row="1")

    assert not app.exception
    assert app.title


def test_descriptions_stay_text(desk, open_page):
    """A description that would draw a badge is a code span."""
    app = open_page(desk, "explain", model=MODEL, version="1", show="One row", source="Typed in")

    labels = [each.label for each in app.number_input]
    assert any("`:red-badge[Approved]`" in label for label in labels)
    assert ":red-badge[Approved]" not in markdown_sources(app)


def test_an_empty_registry(open_page):
    """Nothing to explain is no error."""
    app = open_page(build_desk(InMemoryRegistry()), "explain")

    assert not app.exception
    assert app.info


def test_a_registry_that_is_down(open_page):
    """One sentence and one button."""
    registry = InMemoryRegistry()
    registry.down = True
    app = open_page(build_desk(registry), "explain")

    assert not app.exception
    assert texts(app).count("The registry does not answer.") == 1


def test_files_that_do_not_fit_together(models):
    """An explanation of other rows than those stored is refused, not drawn."""
    files, documents = models["random_forest"]
    explanation = from_npz(files["signoff/explanation.npz"])
    rows = read_rows(files["signoff/evaluation_rows.parquet"], "version 1")

    with pytest.raises(InvalidInput, match="are not those of the evaluation rows"):
        matched(explanation, parse_explanation({**documents["explanation"], "rows": [0, 10**6]}), rows)


def test_the_waterfall_ends_at_the_output():
    """The bars are base, the largest steps, the rest, and the total, each with its figure."""
    effects = {f"column {number}": number / 100 for number in range(14)}
    figure = explanation_charts.waterfall(effects, {}, (0.1, 0.1 + sum(effects.values())), title="class")

    bars = figure.data[0]
    assert bars.measure[0] == "absolute"
    assert bars.measure[-1] == "total"
    assert 0.1 + sum(bars.x[1:-1]) == pytest.approx(0.1 + sum(effects.values()))
    assert "5 other columns" in figure.layout.yaxis.ticktext


@pytest.mark.parametrize(
    ("effects", "output", "named", "figures"),
    [
        ({"a": 0.2, "b": 0.0004, "c": -0.0001}, 0.3003, "2 other columns", ["0.100", "+0.200", "+0.000", "0.300"]),
        ({"a": 0.0, "b": 0.0}, 0.1, "2 columns", ["0.100", "+0.000", "0.100"]),
        ({"a": -0.00002, "b": 0.00003}, 0.10001, "2 columns", ["0.100", "+0.000", "0.100"]),
        ({"a": 52_000.4, "b": 0.2}, 52_000.7, "1 other column", ["0", "+52,000", "+0", "52,001"]),
    ],
)
def test_what_would_be_a_zero_goes_with_the_other_columns(effects, output, named, figures):
    chart = explanation_charts.waterfall(effects, {}, (output - sum(effects.values()), output), title="class")

    assert chart.layout.yaxis.ticktext[-2] == named
    assert list(chart.data[0].text) == figures


def test_small_outputs_are_told_apart():
    """Three decimals would make a zero of each."""
    chart = explanation_charts.waterfall({"a": 0.00004, "b": -0.00001}, {}, (0.00001, 0.00004), title="rate")

    assert list(chart.data[0].text) == ["0.0000100", "+0.0000400", "\u22120.0000100", "0.0000400"]


def test_names_are_not_read_as_html():
    """Plotly reads some HTML in labels: a column's name is escaped."""
    figure = explanation_charts.beeswarm(np.array([[0.1], [0.2]]), {"<a>": np.array([1.0, np.nan])}, "effect")

    assert "&lt;a&gt;" in figure.layout.yaxis.ticktext[0]
    assert "missing" in figure.data[0].text[1]


def test_a_constant_and_a_missing_column():
    """Neither a column of one value nor one without any number breaks the swarm and the dependence."""
    same, none = np.ones(3), np.full(3, np.nan)
    explanation_charts.beeswarm(np.zeros((3, 2)), {"same": same, "none": none}, "effect")
    figure = explanation_charts.dependence(
        np.zeros(3), np.array(["a", None, "b"], dtype=object), "text", title="effect"
    )

    assert len(figure.data) == 3
