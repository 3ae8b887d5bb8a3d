"""The reference profile of a version: what it was evaluated on, as counts that production is compared with."""

import json
import math
from collections import Counter
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.governance.errors import InvalidInput
from pipeline.monitoring.profile import (
    BELOW,
    MISSING,
    OTHER,
    CategoryBins,
    ConfidenceCounts,
    NumberBins,
    Profile,
    is_countable,
    parse_profile,
)
from pipeline.monitoring.reference import number_bins, profile_of

AGES = NumberBins(10.0, 60.0, (20.0, 30.0))
SCHEMA = {
    "columns": {
        "Age": {"type": "number", "training": {"minimum": 10, "maximum": 60}},
        "Gender": {"type": "category", "categories": ["Female", "Male", "unseen"]},
    }
}


def parquet(frame: pd.DataFrame) -> bytes:
    target = BytesIO()
    frame.to_parquet(target, index=False)
    return target.getvalue()


def held_out(rows: int = 400) -> pd.DataFrame:
    """Two input columns, two classes, and probabilities that say how often they are right."""
    random = np.random.default_rng(7)
    confidence = random.uniform(0.5, 1.0, rows)
    right = random.random(rows) < confidence
    return pd.DataFrame(
        {
            "Age": random.uniform(8, 60, rows),
            "Gender": random.choice(["Female", "Male"], rows),
            "actual": np.where(right, "a", "b"),
            "predicted": "a",
            "probability_a": confidence,
            "probability_b": 1 - confidence,
        }
    )


@pytest.fixture(scope="module")
def profile() -> Profile:
    return profile_of(parquet(held_out()), SCHEMA, "version 1")


@pytest.mark.parametrize(
    ("value", "bin_"),
    [
        pytest.param(None, MISSING, id="missing"),
        pytest.param(math.nan, MISSING, id="NaN"),
        pytest.param("12", MISSING, id="no number"),
        pytest.param(9.9, BELOW, id="below"),
        pytest.param(10 * (1 - 1e-12), 2, id="as good as on the end"),
        pytest.param(10, 2, id="on the lower end"),
        pytest.param(19.999, 2, id="first step"),
        pytest.param(20, 3, id="a cut begins a step"),
        pytest.param(60, 4, id="on the upper end"),
        pytest.param(60.1, 5, id="above"),
        pytest.param(True, BELOW, id="a truth value is 0 or 1"),
    ],
)
def test_bin_of_a_number(value, bin_):
    """Each value of a checked row has one bin, whatever a stranger's profile says about its column."""
    assert AGES.bin_of(value) == bin_


@pytest.mark.parametrize(
    ("value", "bin_"), [(None, MISSING), ("x", OTHER), ("1", 2), (1, 2), (1.0, 2), (True, 2), ("True", OTHER), ("b", 3)]
)
def test_bin_of_a_category(value, bin_):
    """A class may be answered by its name or by the number that the name is."""
    assert CategoryBins(("1", "b")).bin_of(value) == bin_


def test_bins_have_names_for_people():
    """As many as there are bins, with the ends of each step."""
    assert AGES.labels() == ("missing", "below 10", "10 to 20", "20 to 30", "30 to 60", "above 60")
    assert NumberBins(1, 2, (2.0,)).labels()[2:4] == ("1 to 2", "2")
    assert CategoryBins(("a",)).labels() == ("missing", "any other", "a")
    assert ConfidenceCounts((0.5,), (1, 1), (0, 1)).labels() == ("0.00 to 0.50", "0.50 to 1.00")


def test_profile_counts_every_held_out_row(profile):
    """Once per column, prediction and confidence; about as many in each step, and what lies outside is told apart."""
    rows, age = held_out(), profile.columns["Age"]

    assert profile.rows == 400
    assert {sum(found.counts) for found in (*profile.columns.values(), profile.predictions)} == {400}
    assert age.counts[BELOW] == (rows["Age"] < 10).sum() > 0
    assert age.counts[age.bins.above] == 0
    assert min(age.counts[3:-2]) >= 39
    assert dict(zip(profile.columns["Gender"].bins.categories, profile.columns["Gender"].counts[2:], strict=True)) == {
        **Counter(rows["Gender"]),
        "unseen": 0,
    }


def test_profile_knows_how_often_a_confidence_is_right(profile):
    """Per step of the highest probability; this is what accuracy is estimated from."""
    confidence = profile.confidence

    assert sum(confidence.counts) == 400
    assert sum(confidence.hits) == (held_out()["actual"] == "a").sum()
    assert confidence.bin_of(0.0) == 0
    assert confidence.bin_of(1.0) == len(confidence.cuts) == 9


def forest(rows: int = 720) -> pd.DataFrame:
    """As `held_out`, by the votes of ten trees: many rows have the same probability."""
    votes = np.random.default_rng(8).integers(5, 11, rows) / 10
    return held_out(rows).assign(probability_a=votes, probability_b=1 - votes)


def test_single_precision_moves_no_row_to_another_confidence():
    """The compiled form of a forest answers so: of a few trees nearly every row lies on a cut."""
    confidence = profile_of(parquet(forest()), SCHEMA, "v").confidence
    answered = forest()["probability_a"].to_numpy()

    for answers in (answered, answered.astype(np.float32).astype(float), answered - 9e-7, answered + 9e-7):
        found = Counter(map(confidence.bin_of, answers))
        assert tuple(found[position] for position in range(len(confidence.counts))) == confidence.counts


def test_probabilities_that_differ_by_rounding_are_one_step():
    """A forest that adds its trees in another order gives another last digit."""
    rounded = forest().assign(probability_a=lambda frame: np.nextafter(frame["probability_a"], [0, 1] * 360))

    found = profile_of(parquet(rounded), SCHEMA, "v").confidence

    assert found.counts == profile_of(parquet(forest()), SCHEMA, "v").confidence.counts


def test_profile_is_kept_as_json_and_read_again(profile):
    """What is stored under signoff/ gives the same profile."""
    assert parse_profile(json.loads(json.dumps(profile.as_json()))) == profile


@given(st.lists(st.floats(width=32) | st.sampled_from([10.0, 20.0, 60.0, 10 * (1 - 1e-12)]), max_size=30))
def test_many_numbers_are_counted_as_each_alone(values):
    """The profile is made by NumPy, and rows are counted by the standard library: both in the same bins."""
    array = np.array(values, dtype=np.float64)
    alone = [AGES.bin_of(value) for value in values]

    assert number_bins(AGES, array).tolist() == alone
    assert AGES.counted(values) == Counter(alone)


@given(st.lists(st.sampled_from([None, "12", True, 10, 9.9, 60, 61, 2**62, math.nan, -math.inf]), max_size=8))
def test_values_of_any_kind_are_counted_as_each_alone(values):
    """What is no number among them is missing, and nothing else is."""
    assert AGES.counted(values) == Counter(map(AGES.bin_of, values))
    assert CategoryBins(("10", "12")).counted(values) == Counter(map(CategoryBins(("10", "12")).bin_of, values))


@given(st.lists(st.floats(0, 1), max_size=20))
def test_many_confidences_are_counted_as_each_alone(values):
    """A confidence on a cut lies in the bin that the cut begins."""
    bins = ConfidenceCounts((0.3, 0.5), (1, 1, 1), (0, 1, 1))

    assert bins.counted(values) == Counter(map(bins.bin_of, values))


def test_few_values_have_a_bin_each():
    """Whole numbers, truth values and answers on a scale are not drawn together."""
    frame = held_out(40).assign(Age=[1.0, 2.0, 3.0, np.nan] * 10)

    age = profile_of(parquet(frame), None, "v").columns["Age"]

    assert age.counts == (10, 0, 10, 10, 10, 0)
    assert age.bins.cuts == (2.0, 3.0)


def test_rare_text_is_any_other():
    """Free text, of which no value comes again, says nothing by its values."""
    frame = held_out(40).assign(Gender=[f"text {number}" for number in range(35)] + ["same"] * 5)

    gender = profile_of(parquet(frame), None, "v").columns["Gender"]

    assert gender.bins.categories == ("same",)
    assert gender.counts == (0, 35, 5)


def test_a_version_that_predicts_numbers_has_a_profile():
    """Its predictions are numbers, and there is no confidence."""
    frame = held_out(40).drop(columns=["probability_a", "probability_b"])
    frame = frame.assign(actual=np.linspace(0, 1, 40), predicted=np.linspace(0.01, 1, 40))

    found = profile_of(parquet(frame), None, "v")

    assert isinstance(found.predictions.bins, NumberBins)
    assert found.confidence is None


def test_rows_that_cannot_be_read_make_no_profile():
    """With a sentence that says whose."""
    with pytest.raises(InvalidInput, match=r"^version 3: the evaluation rows cannot be read"):
        profile_of(b"no parquet", None, "version 3")


@pytest.mark.parametrize(
    "change",
    [
        {"rows": 0},
        {"rows": True},
        {"predictions": None},
        {"predictions": {"kind": "category", "categories": ["a"], "counts": [0, 0, 0]}},
        {"columns": {str(number): 1 for number in range(2_001)}},
    ],
)
def test_what_is_no_profile_is_none(profile, change):
    """A stranger's document is a profile or nothing, never an error."""
    assert parse_profile({**profile.as_json(), **change}) is None


@pytest.mark.parametrize(
    "entry",
    [
        None,
        {"kind": "number", "low": 2, "high": 1, "cuts": [], "counts": [1, 0, 0, 0]},
        {"kind": "number", "low": 0, "high": 1, "cuts": [2], "counts": [1, 0, 0, 0, 0]},
        {"kind": "number", "low": 0, "high": 1, "cuts": [0.5, 0.5], "counts": [1, 0, 0, 0, 0, 0]},
        {"kind": "number", "low": 0, "high": 1, "cuts": [math.nan], "counts": [1, 0, 0, 0, 0]},
        {"kind": "number", "low": 0, "high": 1, "cuts": [], "counts": [1, 0, 0]},
        {"kind": "number", "low": 0, "high": 1, "cuts": [], "counts": [-1, 1, 1, 1]},
        {"kind": "number", "low": 0, "high": 1, "cuts": [], "counts": [10**20, 1, 1, 1]},
        {"kind": "number", "low": 0, "high": 1, "cuts": [n / 100 for n in range(1, 90)], "counts": [1] * 93},
        {"kind": "category", "categories": ["a", "a"], "counts": [1, 1, 1, 1]},
        {"kind": "category", "categories": [1], "counts": [1, 1, 1]},
        {"kind": "category", "categories": [str(n) for n in range(65)], "counts": [1] * 67},
    ],
)
def test_a_column_of_another_shape_is_left_out(profile, entry):
    """Whatever it would count cannot be compared."""
    document = profile.as_json()
    document["columns"]["Age"] = entry

    assert list(parse_profile(document).columns) == ["Gender"]


@pytest.mark.parametrize("name", ["a\x00b", "\ud800", "x" * 9_000])
def test_a_column_whose_name_is_no_key_is_left_out(profile, name):
    """The log counts by it, and no database takes such a name; so is one of the evaluation rows."""
    document = profile.as_json()
    document["columns"][name] = document["columns"]["Age"]

    assert list(parse_profile(document).columns) == ["Age", "Gender"]
    assert not is_countable(name)


@pytest.mark.parametrize(
    "entry",
    [
        None,
        {"cuts": [0.5], "counts": [1, 1], "hits": [2, 0]},
        {"cuts": [0.5], "counts": [1, 1], "hits": [1]},
        {"cuts": [1.5], "counts": [1, 1], "hits": [1, 1]},
        {"cuts": [], "counts": [0], "hits": [0]},
        {"cuts": "many", "counts": [1], "hits": [0]},
    ],
)
def test_a_confidence_of_another_shape_is_none(profile, entry):
    """Then no accuracy is estimated."""
    assert parse_profile({**profile.as_json(), "confidence": entry}).confidence is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just(10**400),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(
                    ["rows", "columns", "predictions", "kind", "low", "high", "cuts", "counts", "hits", "confidence"]
                ),
                inner,
                max_size=6,
            )
        ),
        max_leaves=20,
    )
)
def test_any_json_is_read(document):
    """Nothing that a stranger can write is an exception."""
    found = parse_profile(document)

    assert found is None or found.rows > 0
