"""Two or more versions side by side: the verdicts, the warning without common rows, and what the address keeps."""

import io

import numpy as np
import pandas as pd
import pytest

from dashboard.components import charts, widgets, words
from pipeline.comparison import PairedBootstrap
from pipeline.governance.lifecycle import Stage
from support.desks import MODEL, KnownDifferences, build_desk, good_documents, small_registry
from support.in_memory import InMemoryRegistry
from support.seen import badges, frame, markdown_sources, queries, texts

ROWS = "signoff/evaluation_rows.parquet"
CLASSES = ["Normal_Weight", "Obesity_Type_I"]
SECTIONS = ["Metrics", "Classes and slices", "Calibration", "Flipped rows", "Importance", "What differs"]
HOSTILE = ":green-badge[Approved]"
N = 200


def rows(right: float, *, n: int = N, inputs: str = "Gender") -> bytes:
    """The first `right` of 200 rows are predicted right; inputs and truth are always the same."""
    truth = np.arange(n) % 2
    said = np.where(np.arange(n) < right * n, truth, 1 - truth)
    evaluated = pd.DataFrame(
        {
            inputs: np.where(np.arange(n) % 3, "Female", "Male"),
            "actual": np.array(CLASSES)[truth],
            "predicted": np.array(CLASSES)[said],
            f"probability_{CLASSES[0]}": np.where(said == 0, 0.9, 0.1),
            f"probability_{CLASSES[1]}": np.where(said == 0, 0.1, 0.9),
        }
    )
    target = io.BytesIO()
    evaluated.to_parquet(target, index=False)
    return target.getvalue()


def add_version(registry, right: float | None, *, evaluation=True, **facts) -> int:
    documents = good_documents(right or 0.5) if evaluation else {}
    if evaluation:
        documents["explanation"] = {
            "method": "exact (linear)",
            "scale": "log-odds",
            "n": 300,
            "importance": [{"column": "Weight", "mean_abs": 3.0}, {"column": "Age", "mean_abs": 1.0}],
        }
    files = {"MLmodel": b"flavors"} if right is None else {"MLmodel": b"flavors", ROWS: rows(right)}
    return registry.add_version(MODEL, files=files, documents=documents, **{"metrics": {"accuracy": 0.5}, **facts})


@pytest.fixture
def compared():
    """Version 2 is clearly better than version 1, version 3 like it; 4 came from elsewhere, without rows."""
    registry = InMemoryRegistry()
    registry.add_model(MODEL)
    for depth, right in enumerate((0.7, 0.9, 0.705)):
        add_version(registry, right, params={"depth": str(depth), "seed": "52"}, tags={"model_type": f"forest {depth}"})
    add_version(registry, None, evaluation=False, metrics={"accuracy": 0.99, "auc": 0.8})
    registry.set_alias(MODEL, "champion", 1)
    comparer = PairedBootstrap(samples=200, seed=1, confidence=0.95)
    return build_desk(registry, comparer=comparer)


def compare(open_page, desk, versions="", **query):
    named = {"versions": versions} if versions else {}
    return open_page(desk, "compare", model=MODEL, **named, **query)


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("versions", ["1,2", "4,1", "1,2,3,4"])
def test_every_section_opens(compared, open_page, section, versions):
    """Each section is drawn without an error, with the same rows and without."""
    app = compare(open_page, compared, versions, show=section)

    assert not app.exception
    assert not [each for each in badges(app) if "Failed" in each or "Not available" in each]


def test_metrics_carry_their_verdict(compared, open_page):
    """Value of both, difference with interval, n and the verdict in words, all from the same rows."""
    table = frame(compare(open_page, compared, "1,2"), "Metric").set_index("Metric")

    accuracy = table.loc["Accuracy"]
    assert list(accuracy["Verdict"]) == ["✓ Better"]
    assert (accuracy["Version 1"], accuracy["Version 2"], accuracy["n"]) == (0.7, 0.9, N)
    assert accuracy["Difference"] == pytest.approx(0.2)
    assert accuracy["Interval of the difference"].startswith("+0.1")


def test_the_first_is_the_reference(compared, open_page):
    """The other way round the same difference is worse."""
    table = frame(compare(open_page, compared, "2,1"), "Metric").set_index("Metric")

    assert list(table.loc["Accuracy", "Verdict"]) == ["✕ Worse"]
    assert table.columns[1] == "Version 2"


def test_a_small_difference_is_not_distinguishable(compared, open_page):
    """One row of 200 decides nothing, and McNemar's test says so in words."""
    app = compare(open_page, compared, "1,3")

    assert list(frame(app, "Metric").set_index("Metric").loc["Accuracy", "Verdict"]) == ["≈ Not distinguishable"]
    assert "p = 1.0000. There is no evidence that one is right more often." in texts(app)
    assert "Of 200 rows both are right on 140, only version 1 on 0, only version 3 on 1." in texts(app)


def test_without_common_rows_nothing_is_better(compared, open_page):
    """The warning names the version without rows; the metrics of the runs are shown without a verdict."""
    app = compare(open_page, compared, "1,4")

    assert "Version 4 came without evaluation rows." in texts(app)
    assert "Version 4 came without evaluation rows." in texts(app)
    assert "Version 1 came without evaluation rows." not in texts(app)
    table = frame(app, "Metric").set_index("Metric")
    assert "Verdict" not in table.columns
    assert table.loc["auc", "Version 4"] == 0.8


def test_other_rows_are_named(open_page):
    """Rows that differ in any input are no common rows."""
    registry = small_registry(versions=2)
    registry.write_file(MODEL, 1, ROWS, content=rows(0.7))
    registry.write_file(MODEL, 2, ROWS, content=rows(0.9, inputs="Sex"))

    app = compare(open_page, build_desk(registry, comparer=PairedBootstrap(samples=200, seed=1, confidence=0.95)))

    assert "not evaluated on the same columns" in texts(app)
    assert "came without evaluation rows" not in texts(app)


def test_claims_against_the_rows_are_named(compared, open_page):
    """A version that claims another accuracy than its stored rows give is named with both figures."""
    app = compare(open_page, compared, "1,3")

    assert "Version 1 claims" not in texts(app)
    compared.registry.write_file(MODEL, 3, ROWS, content=rows(0.6))
    assert "Version 3 claims accuracy 0.7050; its stored rows give 0.6000." in texts(compare_again(app))


def compare_again(app):
    from dashboard import caching

    caching.forget_reads()
    return app.run()


def test_classes_and_slices_show_n(compared, open_page):
    """Recall per class and accuracy per slice, each with its own n and verdict."""
    app = compare(open_page, compared, "1,2", show="Classes and slices")

    assert frame(app, "Class")["n"].tolist() == [100, 100]
    slices = frame(app, "Slice").set_index("Slice")
    assert slices.loc["Gender = Female", "n"] + slices.loc["Gender = Male", "n"] == N
    assert list(slices.loc["Gender = Female", "Verdict"]) == ["✓ Better"]


def test_two_classes_have_curves_and_a_search(compared, open_page):
    """Average precision of both classes with a verdict; where the compared version is worse is searched for."""
    app = compare(open_page, compared, "2,1", show="Classes and slices", positive=CLASSES[0])
    precision, found = frame(app, "Average precision of"), frame(app, "Rows where")

    assert precision["Average precision of"].tolist() == CLASSES
    assert [held[0] for held in precision["Verdict"]] == ["✕ Worse"] * 2
    assert "Where version 1 is worse than version 2" in [each.value for each in app.header]
    assert set(found["Rows where"]) <= {"Gender is Female", "Gender is Male"}
    assert (found["Difference"] < 0).all()
    assert any("Searched: 2 slices of at least 30 rows, from 1 column" in each.value for each in app.caption)


def test_calibration_is_drawn_with_its_figures(compared, open_page):
    """Bins with n and interval, and the calibration error of the metrics beside the one of the bins drawn."""
    app = compare(open_page, compared, "1,2", show="Calibration")
    points = frame(app, "Mean probability")

    assert points.groupby("Version")["n"].sum().tolist() == [N, N]
    assert points["Interval"].str.len().tolist() == [len("0.6330 0.7593")] * len(points)
    assert "Version 1: calibration error 0.2000 over ten bins of equal width, 0.2000 over the bins drawn." in texts(app)


def test_flipped_rows_are_filtered(compared, open_page):
    """Who is right and the actual class narrow the rows; the address keeps both."""
    everything = frame(compare(open_page, compared, "1,2", show="Flipped rows"), "Right")
    narrowed = frame(
        compare(open_page, compared, "1,2", show="Flipped rows", right="Only version 2", actual=CLASSES[0]), "Right"
    )
    none = frame(compare(open_page, compared, "1,2", show="Flipped rows", right="Neither"), "Right")

    assert len(everything) == 40
    assert set(narrowed["Actual"]) == {CLASSES[0]}
    assert len(narrowed) == 20
    assert len(none) == 0
    assert everything.columns[-1] == "Gender"


def test_filters_of_other_versions_are_dropped(compared, open_page):
    """A filter that names a version which is no longer compared does not hide every row."""
    app = compare(open_page, compared, "1,2", show="Flipped rows", right="Only version 2")
    app.query_params["versions"] = "1,3"
    app.run()

    assert not app.exception
    assert len(frame(app, "Right")) == 1


def test_differences_only(compared, open_page):
    """First what differs; switched off, what is equal too, in words."""
    app = compare(open_page, compared, "1,2", show="What differs")
    assert frame(app, "Name")["Name"].tolist() == ["depth"]

    app.toggle[0].set_value(False).run()

    table = frame(app, "Name").set_index("Name")
    assert list(table.loc["depth", "Result"]) == ["! Differs"]
    assert list(table.loc["seed", "Result"]) == ["✓ Same"]
    assert table.loc["seed", "Version 2"] == "52"


def test_importance_says_how_it_was_found(compared, open_page):
    """A chart where there is a summary, and a sentence for the version without one."""
    app = compare(open_page, compared, "1,4", show="Importance")

    assert "Version 1: exact (linear), log-odds, 300 rows" in texts(app)
    assert "Version 4 came without an explanation summary." in [each.value for each in app.caption]


def test_several_versions_have_one_reference(compared, open_page):
    """All of them stand in one table, and the address says which one is shown in detail."""
    app = compare(open_page, compared, "1,2,3", **{"with": "3"})

    table = frame(app, "accuracy, verdict").set_index("Version")
    assert table.index.tolist() == [1, 2, 3]
    assert [list(each) for each in table["accuracy, verdict"]] == [
        ["Reference"],
        ["✓ Better"],
        ["≈ Not distinguishable"],
    ]
    assert "Version 3 against version 1, on the same 200 rows:" in texts(app)


def test_without_an_address_the_champion_is_the_reference(compared, open_page):
    """The page opens on the champion and the newest other version, and puts both into the address."""
    app = compare(open_page, compared)

    assert app.query_params["versions"] in ("1,4", ["1,4"])


def test_a_new_reference_changes_places(compared, open_page):
    """To pick one of the compared as the reference turns the comparison round."""
    app = compare(open_page, compared, "1,2")

    app.selectbox(key="compare_reference").select(2).run()

    assert app.query_params["versions"] in ("2,1", ["2,1"])
    assert not app.exception


def test_others_are_added(compared, open_page):
    """A version picked in the field joins the comparison and the address."""
    app = compare(open_page, compared, "1,2")

    app.multiselect(key="compare_others").select(3).run()

    assert app.query_params["versions"] in ("1,2,3", ["1,2,3"])


def test_one_version_asks_for_another(compared, open_page):
    """An address with one version is no error: the page offers the champion."""
    app = compare(open_page, compared, "3")

    assert [each.value for each in app.header] == ["One version is not enough"]
    assert "versions=1%2C3" in queries(app)["Compare with the champion, version 1"]


def test_a_model_of_one_version(open_page):
    """Where there is nothing to compare with, the page says so."""
    app = compare(open_page, build_desk(small_registry(versions=1)))

    assert not app.exception
    assert "The model has only version 1. A comparison needs two." in [each.value for each in app.caption]


@pytest.mark.parametrize("versions", ["1,99", "x", "1.5,2", "\u0663,1", "9" * 5000, "-1,2"])
def test_a_link_to_no_version_says_so(compared, open_page, versions):
    """A deep link to a version that is not there names it, however odd it is."""
    app = compare(open_page, compared, versions)

    assert not app.exception
    assert "has no version" in texts(app)


@pytest.mark.parametrize("versions", ["1,1,2", " 1 , 2 ,"])
def test_a_careless_link_is_understood(compared, open_page, versions):
    """Versions named twice and spaces do not matter."""
    app = compare(open_page, compared, versions)

    assert app.query_params["versions"] in ("1,2", ["1,2"])


def test_too_many_versions_are_cut(open_page):
    """The page compares six with the reference and says how many more the address names."""
    desk = build_desk(small_registry(versions=9), comparer=KnownDifferences())

    app = compare(open_page, desk, ",".join(map(str, range(1, 10))))

    assert not app.exception
    assert "The address names 2 more; 6 are compared at once." in [each.value for each in app.caption]


def test_an_empty_registry_is_no_error(open_page):
    """Without versions the page says where to fill the registry."""
    app = open_page(build_desk(InMemoryRegistry()), "compare")

    assert not app.exception
    assert "nothing to compare" in app.info[0].value


def test_a_registry_that_is_down_is_one_sentence(open_page):
    """A registry that does not answer is said once, with a button to try again."""
    registry = InMemoryRegistry()
    registry.down = True

    app = open_page(build_desk(registry), "compare")

    assert texts(app).count("The registry does not answer.") == 1


@pytest.mark.parametrize("section", SECTIONS)
def test_text_from_the_registry_is_never_markdown(compared, open_page, section):
    """Types, tags and parameters of anybody's making are text in every section."""
    registry = compared.registry
    add_version(registry, 0.8, params={HOSTILE: HOSTILE}, tags={"model_type": HOSTILE}, metrics={HOSTILE: 0.5})
    registry.set_alias(MODEL, HOSTILE, 5)
    registry.set_stage(MODEL, 5, Stage.STAGING)

    app = compare(open_page, compared, "1,5", show=section)

    assert not app.exception
    assert HOSTILE not in markdown_sources(app).replace(words.code(HOSTILE), "")


def test_selected_rows_lead_to_their_comparison(compared, open_page):
    """Two lines of the versions table offer their comparison, the champion as the reference."""
    app = open_page(compared, "versions", model=MODEL)
    app.session_state[f"versions/{MODEL}"] = {"selection": {"rows": [2, 3], "columns": [], "cells": []}}
    app.run()

    assert "versions=1%2C2" in queries(app)["Compare them"]


def test_review_leads_to_the_champion(compared, open_page):
    """A version's review offers its comparison with the champion; the champion's own does not."""
    other = queries(open_page(compared, "review", model=MODEL, version="2"))
    own = queries(open_page(compared, "review", model=MODEL, version="1"))

    assert "versions=1%2C2" in other["Compare"]
    assert "Compare" not in own


def test_the_detail_follows_the_versions(compared, open_page):
    """Where the version in detail is no longer compared, the first of those that are takes its place."""
    app = compare(open_page, compared, "1,2,3", **{"with": "3"})
    app.multiselect(key="compare_others").set_value([2, 4]).run()

    assert not app.exception
    assert app.query_params["versions"] in ("1,2,4", ["1,2,4"])
    assert "Version 2 against version 1, on the same 200 rows:" in texts(app)


def test_nothing_left_to_compare(compared, open_page):
    """To take the last version out of the field is no error: the page asks for another."""
    app = compare(open_page, compared, "2,3")
    app.multiselect(key="compare_others").set_value([]).run()

    assert not app.exception
    assert [each.value for each in app.header] == ["One version is not enough"]


def test_versions_that_predict_numbers_are_compared_by_their_errors(open_page):
    """Every section is drawn; there are no classes, no flips and no calibration, and less is better."""
    registry, truth = InMemoryRegistry(), np.linspace(1, 9, N) + 0.25
    registry.add_model(MODEL)
    for noise in (2.0, 1.0):
        target, kind = io.BytesIO(), np.where(np.arange(N) % 3, "Female", "Male")
        told = truth + noise * np.random.default_rng(1).normal(size=N)
        pd.DataFrame({"Gender": kind, "actual": truth, "predicted": told}).to_parquet(target, index=False)
        registry.add_version(MODEL, metrics={"rmse": noise}, files={"MLmodel": b"flavors", ROWS: target.getvalue()})
    desk = build_desk(registry, comparer=PairedBootstrap(samples=200, seed=1, confidence=0.95))
    for section in SECTIONS:
        assert not compare(open_page, desk, "1,2", show=section).exception
    app = compare(open_page, desk, "1,2", show="Metrics")
    table = frame(app, "Verdict")

    assert dict(zip(table["Metric"], table["Verdict"].map(lambda held: held[0]), strict=True)) == {
        "Mean absolute error": "✓ Better", "R squared": "✓ Better", "Root mean squared error": "✓ Better",
    }  # fmt: skip
    assert "Version 2 against version 1, on the same 200 rows:" in texts(app)
    assert any(
        "Of mean absolute error and root mean squared error less is better." in each.value for each in app.caption
    )
    app = compare(open_page, desk, "1,2", show="Classes and slices")
    assert set(frame(app, "Slice")["Slice"]) == {"Gender = Female", "Gender = Male"}
    assert frame(app, "Actual")["n"].tolist() == [25] * 8


@pytest.mark.parametrize(
    ("columns", "heading", "says"),
    [
        ({"actual": ["no", "yes"] * 60, "predicted": "no", "probability_no": 0.6, "probability_yes": 0.4},
         "Precision and recall", "yes: average precision 0.5000"),
        ({"actual": np.arange(120) + 0.5, "predicted": np.arange(120.0)}, "Errors by range", "None stands out."),
    ],
    ids=["two classes", "numbers"],
)  # fmt: skip
def test_a_review_draws_what_fits_the_kind(open_page, columns, heading, says):
    """From the stored rows; a version without them says what cannot be shown."""
    registry, target = InMemoryRegistry(), io.BytesIO()
    registry.add_model(MODEL)
    pd.DataFrame({"Gender": ["f", "m"] * 60, **columns}).to_parquet(target, index=False)
    registry.add_version(MODEL, files={"MLmodel": b"flavors", ROWS: target.getvalue()})
    registry.add_version(MODEL, files={"MLmodel": b"flavors"})
    desk = build_desk(registry)
    app, bare = (open_page(desk, "review", model=MODEL, version=each, show="Classes and slices") for each in "12")

    assert not app.exception
    assert heading in [each.value for each in app.header]
    assert says in texts(app)
    assert any("came without evaluation rows" in each.value for each in bare.caption)


def test_figures_of_a_table_have_a_real_minus_and_sort_as_numbers():
    """As in sentences; a whole number stays one, and what is missing is a dash."""
    data = pd.DataFrame({"Metric": ["r2", "mae"], "Value": [-0.5, None], "Difference": [-0.25, 0.25], "n": [627, None]})
    found = widgets.figures(data, ["Value"], ["Difference"])

    assert found.data is data
    assert found.to_string(delimiter="|").splitlines()[1:] == [
        "0|r2|\N{MINUS SIGN}0.5000|\N{MINUS SIGN}0.2500|627",
        "1|mae|\N{EN DASH}|+0.2500|\N{EN DASH}",
    ]


def test_a_version_keeps_its_colour():
    """The champion is blue, else the reference; a version alone that does not serve is not."""
    blue, other, third = charts.VERSIONS_ON_LIGHT

    assert charts.version_colours({"Version 1": 1, "Version 4": 4}, 1) == {"Version 1": blue, "Version 4": other}
    assert charts.version_colours({"Version 4": 4, "Version 1": 1}, 1) == {"Version 1": blue, "Version 4": other}
    assert charts.version_colours({"Version 3": 3, "Version 4": 4}, 1) == {"Version 3": blue, "Version 4": other}
    assert charts.version_colours({"Version 4": 4}, 1) == {"Version 4": other}
    assert charts.version_colours({"a": 1, "b": 2, "c": 3}, 1) == {"a": blue, "b": other, "c": third}


def test_size_and_latency_stand_in_the_verdict_line(open_page):
    """Beside the counts, whose tooltips name the metrics."""
    registry = InMemoryRegistry()
    registry.add_model(MODEL)
    for right, milliseconds in ((0.7, 10.0), (0.9, 50.0)):
        add_version(registry, right, metrics={"accuracy": right, "latency_ms_median": milliseconds})
    desk = build_desk(registry, comparer=PairedBootstrap(samples=200, seed=1, confidence=0.95))
    app = compare(open_page, desk, "1,2")
    line = next(each for each in app.markdown if "better]" in each.value)

    assert "5.0 times slower: 50.0 ms a row beside 10.0 ms" in "".join(badges(app))
    assert "accuracy" in line.help
