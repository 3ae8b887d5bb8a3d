"""The Predict page: form, probabilities, reasons, two versions, what if, and a file of rows."""

import re

import pytest

from dashboard.components import explanation_charts, words
from dashboard.components import row_form as predict_form
from pipeline.governance.errors import Unavailable
from pipeline.serving.scorer import Scorer
from pipeline.serving.worker.client import WorkerRefusal
from pipeline.validation.schema import ColumnSchema
from support.desks import MODEL, build_desk
from support.explained_desk import REGRESSION, desk_of
from support.hostile_models import rows
from support.in_memory import InMemoryRegistry
from support.seen import badges, button, frame, texts

CALLED = ":red-badge[Approved]"  # what a stranger's schema calls Weight


@pytest.fixture
def desk(models, worker, score_with):
    score_with(worker)
    return desk_of(models)


def field(app, label):
    found = [*app.number_input, *app.selectbox, *app.text_input]
    return next(each for each in found if each.label.startswith(label) or f":gray[:small[{label}]]" in each.label)


def test_the_champion_predicts_the_defaults(desk, open_page):
    """Without a version in the address the champion answers, with digest, probabilities and reasons."""
    app = open_page(desk, "predict", model=MODEL)

    assert not app.exception
    assert "Version 1 predicts" in [each.value for each in app.caption]
    assert any(each.value.startswith("From the files ") for each in app.caption)
    assert " kg raises " in texts(app) or " kg lowers " in texts(app)
    assert len(app.get("plotly_chart")) == 2


def test_the_form_has_units_ranges_and_defaults(desk, open_page):
    """Numbers start at the default, name the unit and the ranges; categories are a list."""
    app = open_page(desk, "predict", model=MODEL)

    weight = field(app, "Weight")
    assert weight.value == 80
    assert "(kg)" in weight.label
    assert "25 to 260 is allowed" in weight.help
    assert "40 to 150 in the training data" in weight.help
    assert field(app, "CAEC").options == ["no", "Sometimes", "Always"]


def test_an_error_is_said_at_the_field(desk, open_page):
    """A value out of range gets the sentence of the one validation, and no prediction."""
    app = open_page(desk, "predict", model=MODEL)
    field(app, "Weight").set_value(900.0)
    button(app, "Predict").click().run()

    assert "(Weight): 900 is above 260 kg (allowed 25 to 260)" in texts(app)
    assert "Version 1 predicts" not in [each.value for each in app.caption]


def test_an_empty_field_is_missing(desk, open_page):
    """Nothing is filled in for a value that was taken away."""
    app = open_page(desk, "predict", model=MODEL)
    field(app, "Age").set_value(None)
    button(app, "Predict").click().run()

    assert "Age: is missing" in texts(app)


def test_a_warning_outside_the_training_data(desk, open_page):
    """An allowed value that no training row had is predicted with a warning."""
    app = open_page(desk, "predict", model=MODEL)
    field(app, "Weight").set_value(200.0)
    button(app, "Predict").click().run()

    assert "lies outside the training data (40 to 150)" in texts(app)
    assert "Version 1 predicts" in [each.value for each in app.caption]


def test_the_address_names_the_row(desk, open_page):
    """Only what differs from the defaults; the link opens the same form with its answer, going back the defaults."""
    app = open_page(desk, "predict", model=MODEL)
    assert "values" not in app.query_params
    field(app, "Weight").set_value(95.0)
    button(app, "Predict").click().run()
    assert app.query_params["values"] == '{"Weight":95}'

    other = open_page(desk, "predict", model=MODEL, values='{"Weight":95,"CAEC":"Always"}')
    assert (field(other, "Weight").value, field(other, "CAEC").value) == (95, "Always")
    assert ":red-badge[Approved] (Weight) is 95 kg in the row." in texts(other)

    del other.query_params["values"]
    assert field(other.run(), "Weight").value == 80

    for page in ("overview", "predict"):
        app.query_params.clear()
        app.switch_page(f"{page}/page.py").run()
    assert field(app, "Weight").value == 95
    assert app.query_params["values"] == '{"Weight":95}'


def test_a_row_in_the_address_that_cannot_be_used(desk, open_page):
    """One sentence, and the defaults, which are answered; the next row that is sent takes its place."""
    app = open_page(desk, "predict", model=MODEL, values='{"Weight":9000}')

    assert not app.exception
    assert "Weight: 9000 is above 260 kg (allowed 25 to 260)\nThe form starts with the defaults instead." in texts(app)
    assert field(app, "Weight").value == 80
    assert "Version 1 predicts" in [each.value for each in app.caption]
    field(app, "Weight").set_value(90.0)
    button(app, "Predict").click().run()
    assert "The form starts with the defaults" not in texts(app)
    assert app.query_params["values"] == '{"Weight":90}'


def test_two_versions_side_by_side(desk, open_page):
    """The challenger answers the same row and is marked as not approved."""
    app = open_page(desk, "predict", model=MODEL, beside="2")

    captions = [each.value for each in app.caption]
    assert "Version 1 predicts" in captions
    assert "Version 2 predicts" in captions
    assert any("Not approved yet" in each for each in badges(app))


def test_an_untrusted_version_is_not_asked(desk, open_page):
    """It says why, and shows no form."""
    app = open_page(desk, "predict", model=MODEL, version="3")

    assert not app.exception
    assert any("not safe to load" in each for each in badges(app))
    assert not app.number_input


def test_an_untrusted_version_beside_a_trusted_one(desk, open_page):
    """The trusted one answers all the same."""
    app = open_page(desk, "predict", model=MODEL, beside="3")

    assert not app.exception
    assert "Version 1 predicts" in [each.value for each in app.caption]


def test_a_champion_that_the_ledger_does_not_know(desk, open_page):
    """What serves must have been recorded: an alias moved by another way does not predict as champion."""
    desk.registry.set_alias(MODEL, "champion", 2)
    app = open_page(desk, "predict", model=MODEL)

    assert not app.exception
    assert "the record says version 1; accept or undo it on History first" in texts(app)


@pytest.mark.parametrize("column", ["Weight", "CAEC"])
def test_what_if_a_column_moves(desk, open_page, column):
    """A number becomes a curve, a category a bar for each; the classes that are met are named."""
    app = open_page(desk, "predict", model=MODEL, column=column)

    assert not app.exception
    assert "Over this range the version predicts " in texts(app)


def test_the_smallest_change_is_one_that_the_model_confirms(desk, open_page):
    """It names the new class, and keeps to the columns that the policy lets a person change."""
    app = open_page(desk, "predict", model=MODEL)

    assert any("Confirmed by the version" in each for each in badges(app))
    changed = next(each.value for each in app.dataframe if list(each.value.columns) == ["Column", "Now", "Then"])
    assert {each.rpartition("(")[2].rstrip(")") for each in changed["Column"]} <= {"Weight", "CAEC"}
    assert "May change, by the policy: :red-badge[Approved] (Weight), CAEC." in texts(app)


def test_no_change_for_a_model_that_the_policy_does_not_name(desk, open_page):
    """Nothing is assumed about what a person could change."""
    app = open_page(desk, "predict", model=REGRESSION)

    assert any("answers with a number" in each.value for each in app.caption)


def test_a_model_without_schema(desk, open_page):
    """A regression model by plain MLflow: the form comes from its signature or example, the answer is a number."""
    app = open_page(desk, "predict", model=REGRESSION)

    assert not app.exception
    assert any("has no feature schema" in each.value for each in app.caption)
    assert "Version 1 predicts" in [each.value for each in app.caption]
    assert any(re.fullmatch(r"-?[0-9.]+", each.value) for each in app.header)
    assert 'the one row of its input example stand for "nothing known"' in texts(app)


def test_beside_a_version_that_takes_fewer_columns(models, worker, open_page, score_with):
    """What it does not take is left out for it: a new column is no reason not to compare."""
    registry = InMemoryRegistry()
    registry.add_model(REGRESSION)
    for files in (models["regression"][0], models["fewer columns"][0]):
        registry.add_version(REGRESSION, files=files)
    score_with(worker)
    app = open_page(build_desk(registry), "predict", model=REGRESSION, version="1", beside="2")

    assert not app.exception
    assert {"Version 1 predicts", "Version 2 predicts"} <= {each.value for each in app.caption}
    assert not any("Not valid" in each for each in badges(app))


def test_a_file_of_rows(desk, open_page):
    """Good rows are scored, a bad one is refused with its line; both can be downloaded, and a template."""
    table = rows()[0].head(5).to_csv(index=False) + "20,9999,Female,no\n"
    app = open_page(desk, "predict", model=MODEL, show="File of rows")
    app.file_uploader[0].upload("people.csv", table.encode()).run()

    assert not app.exception
    assert {each.label: each.value for each in app.metric}["Scored"] == "5"
    assert "row 7, Weight: 9999 is above 260 kg" in texts(app)
    assert [each.label.split()[0] for each in app.get("download_button")] == ["Template", "Download", "Download"]


def test_a_file_with_the_truth_is_evaluated(desk, open_page):
    """Metrics with interval and n, per class, and the version beside it on the same rows; a page run later is alike."""
    inputs, truth = rows()
    table = inputs.assign(actual=truth).head(60)
    table.loc[2, "Weight"], table.loc[3, "actual"] = 200.0, "Slim"
    app = open_page(desk, "predict", model=MODEL, show="File of rows", beside="2")
    app.file_uploader[0].upload("people.csv", table.to_csv(index=False).encode()).run()

    assert not app.exception
    figures = {each.label: each for each in app.metric}
    assert figures["Accuracy"].value == "1.0000"
    assert figures["Accuracy"].delta.endswith("n = 59")
    assert "row 5, actual: 'Slim' is not allowed" in texts(app)
    assert "On the same 59 rows, against version 1: version 2 is " in texts(app)
    assert frame(app, "Recall")["n"].sum() == 59
    assert set(frame(app, "Verdict")["Metric"]) >= {"Accuracy", "Macro F1", "Log loss"}
    assert frame(app, "Value").to_dict("records") == [
        {"Row": 4, "Column": f"{CALLED} (Weight)", "Value": "200 kg lies outside the training data (40 to 150)"}
    ]
    assert frame(app, "Share")["Rows"].sum() == 60
    assert frame(app, "prediction")["Row"].tolist() == list(range(2, 22))

    app.selectbox(key="truth").select("No column").run()
    assert "Accuracy" not in {each.label for each in app.metric}


def test_a_file_with_the_truth_has_its_weak_slices(desk, open_page):
    """Slices that nobody listed, with n and interval, corrected for their number; of two versions as on Compare."""
    inputs, truth = rows()
    table = inputs.assign(actual=truth)
    women = table["Gender"] == "Female"
    table.loc[women, "actual"] = table.loc[women, "actual"].map(lambda name: next(iter(set(truth) - {name})))
    app = open_page(desk, "predict", model=MODEL, show="File of rows", beside="2")
    app.file_uploader[0].upload("people.csv", table.to_csv(index=False).encode()).run()

    assert not app.exception
    found = frame(app, "Accuracy there")
    assert found.iloc[0][["Rows where", "n", "Accuracy there"]].tolist() == ["Gender is Female", int(women.sum()), 0.0]
    assert found["Interval"].str.contains("\N{EN DASH}").all()
    assert any("Corrected for their number" in each.value for each in app.caption)
    assert "Where version 2 is worse than version 1" in [each.value for each in app.header]


def test_a_labelled_file_of_a_model_that_predicts_numbers(desk, open_page):
    """The mean absolute error with its interval."""
    inputs = rows()[0].head(40)
    table = inputs[["Age", "Weight"]].assign(actual=[number + 0.5 for number in range(40)])
    app = open_page(desk, "predict", model=REGRESSION, show="File of rows")
    app.file_uploader[0].upload("prices.csv", table.to_csv(index=False).encode()).run()

    assert not app.exception
    figures = {each.label: each for each in app.metric}
    assert figures["Mean absolute error"].delta.endswith("n = 40")
    assert {"Smallest", "Median", "Largest"} <= figures.keys()


def test_a_file_without_a_column(desk, open_page):
    """One sentence names it."""
    app = open_page(desk, "predict", model=MODEL, show="File of rows")
    app.file_uploader[0].upload("people.csv", b"Age,Gender\n20,Female\n").run()

    assert not app.exception
    assert "is missing" in texts(app)


@pytest.mark.parametrize(
    "error", [WorkerRefusal("version 1", "crashed the process", kind="crash"), Unavailable("the worker: is busy")]
)
def test_a_worker_that_fails_is_a_sentence(desk, open_page, monkeypatch, error):
    """The page stays and offers to try again."""

    def fail(*_args, **_more):
        raise error

    monkeypatch.setattr(Scorer, "predict_checked", fail)
    app = open_page(desk, "predict", model=MODEL)

    assert not app.exception
    assert words.sentence(str(error)) in texts(app)
    assert any(each.label == "Try again" for each in app.button)


def test_an_address_that_names_no_version(desk, open_page):
    """One sentence."""
    app = open_page(desk, "predict", model=MODEL, version="77")

    assert not app.exception
    assert "has no version '77'" in texts(app)


def test_an_empty_registry(open_page):
    """Nothing to ask is no error."""
    app = open_page(build_desk(InMemoryRegistry()), "predict")

    assert not app.exception
    assert app.info


def test_a_registry_that_is_down(open_page):
    """One sentence and one button."""
    registry = InMemoryRegistry()
    registry.down = True
    app = open_page(build_desk(registry), "predict")

    assert not app.exception
    assert texts(app).count("The registry does not answer.") == 1


def test_steps_fit_the_range():
    """About twenty steps from end to end, at most 1."""
    height = ColumnSchema("Height", "number", minimum=1.2, maximum=2.3)
    assert predict_form._step(height) == pytest.approx(0.01)
    assert predict_form._step(ColumnSchema("Age", "number", minimum=10, maximum=100)) == 1


def test_probabilities_keep_the_order_of_the_classes():
    """Both versions are drawn on the same lines, also names that are alike once they are cut."""
    names = ["a" * 40 + "1", "a" * 40 + "2"]
    figure = explanation_charts.probabilities({"one": dict.fromkeys(names, 0.5)}, names)

    assert len(set(figure.data[0].y)) == 2
