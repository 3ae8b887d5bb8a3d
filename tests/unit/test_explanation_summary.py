"""An explanation as a document, as a file, in words; and the second opinion beside it."""

import io
import json
import zipfile
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import LinearRegression

from pipeline.explanation.explain import Explainer, explain_summary, summarise, summary_rows
from pipeline.explanation.result import MOST_BYTES, Explanation, from_npz, to_json, to_npz
from pipeline.explanation.sampling import agreement, second_opinion
from pipeline.explanation.wording import Side, contrasts, sentences
from pipeline.governance.errors import InvalidInput

UNITS = {"Weight": "kg", "FCVC": "1 never to 3 always"}
ROW = {"Weight": 112.0, "FCVC": 2.4567891, "Gender": "Female"}


def explanation(**changes: Any) -> Explanation:
    """Two rows, three columns, two classes; it does not add up to anything and need not."""
    first = [[0.31, -0.31], [-0.0625, 0.0625], [0.001, -0.001]]
    second = [[-0.11, 0.11], [0.25, -0.25], [0.0, 0.0]]
    parts = {
        "columns": ("Weight", "FCVC", "Gender"),
        "classes": ("Obesity_Type_III", "other"),
        "values": np.array([first, second]),
        "base_values": np.array([0.25, 0.75]),
        "output": np.array([[0.5, 0.5], [0.4, 0.6]]),
        "scale": "probability",
        "method": "exact (linear)",
        "sampled": False,
        "sum_error": 1e-16,
        "tolerance": 1e-9,
        **changes,
    }
    return Explanation(**parts)


def test_summary_document():
    """The whole document: means of absolute values per class and column, and the columns by their mean over classes."""
    document = json.loads(json.dumps(summarise(explanation()), allow_nan=False))
    means = {"Weight": 0.21, "FCVC": 0.15625, "Gender": 0.0005}

    assert document.pop("importance") == [{"column": name, "mean_abs": pytest.approx(means[name])} for name in means]
    assert document.pop("mean_abs") == {name: pytest.approx(means) for name in ("Obesity_Type_III", "other")}
    assert document == {
        "method": "exact (linear)",
        "scale": "probability",
        "sampled": False,
        "n": 2,
        "classes": ["Obesity_Type_III", "other"],
        "columns": ["Weight", "FCVC", "Gender"],
        "sum_error": 1e-16,
        "tolerance": 1e-9,
        "fallback": "",
        "base_values": {"Obesity_Type_III": 0.25, "other": 0.75},
    }


def test_a_sum_that_fails_is_not_hidden():
    """An error above the tolerance, or one that is no number, does not add up."""
    assert explanation().adds_up
    assert not explanation(sum_error=0.1).adds_up
    assert not explanation(sum_error=float("nan")).adds_up


class TestFile:
    """The npz form."""

    def test_round_trip(self):
        """What was stored comes back, values to float32; the same explanation gives the same bytes."""
        stored = explanation(fallback="because")
        found = from_npz(to_npz(stored))

        assert to_npz(stored) == to_npz(stored)
        np.testing.assert_allclose(found.values, stored.values, rtol=1e-7)
        np.testing.assert_array_equal(found.base_values, stored.base_values)
        np.testing.assert_array_equal(found.output, stored.output)
        same = ("columns", "classes", "scale", "method", "sampled", "sum_error", "tolerance", "fallback")
        assert [getattr(found, name) for name in same] == [getattr(stored, name) for name in same]
        assert len(found) == 2

    @pytest.mark.parametrize(
        "changes",
        [
            {"values": np.zeros((2, 3, 1))},
            {"values": np.full((2, 3, 2), np.nan)},
            {"values": np.zeros(1)},
            {"output": np.array(0.0)},
            {"scale": "furlongs"},
            {"sum_error": "much"},
            {"columns": (1, 2, 3)},
        ],
    )
    def test_another_shape_or_kind_is_refused(self, changes):
        """A file from a stranger is checked before anything uses it."""
        with pytest.raises(InvalidInput, match="the explanation file cannot be read"):
            from_npz(to_npz(explanation(**changes)))

    @pytest.mark.parametrize("end", [0, 10, 300, -30])
    def test_a_cut_file_is_refused(self, end):
        """Half a file is one sentence, not a traceback."""
        with pytest.raises(InvalidInput, match="the explanation file cannot be read"):
            from_npz(to_npz(explanation())[:end])

    @pytest.mark.parametrize(
        "arrays",
        [
            {"about": np.array([{}], dtype=object)},
            {"about": np.array("[]"), "values": np.zeros(1), "base_values": np.zeros(1), "output": np.zeros(1)},
            {"about": np.array("{}"), "values": np.array("text"), "base_values": np.zeros(1), "output": np.zeros(1)},
        ],
        ids=["pickle", "no description", "text"],
    )
    def test_strange_members_are_refused(self, arrays):
        """An object array would be unpickled by numpy; here it is refused, like a file that says nothing of itself."""
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)

        with pytest.raises(InvalidInput, match="the explanation file cannot be read"):
            from_npz(buffer.getvalue())

    def test_what_unpacks_to_gigabytes_is_refused(self):
        """The size is read from the archive's list, before anything is unpacked."""
        buffer = io.BytesIO()
        with (
            zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive,
            archive.open("values.npy", "w", force_zip64=True) as member,
        ):
            for _ in range(MOST_BYTES // 2**20 + 1):
                member.write(bytes(2**20))

        assert len(buffer.getvalue()) < 2**20
        with pytest.raises(InvalidInput, match="unpacks to more than 200 MB"):
            from_npz(buffer.getvalue())


class TestSentences:
    """Plain words."""

    def test_probability(self):
        """Largest effect first, with the unit; what rounds to 0.00 is left out."""
        found = sentences(to_json(explanation(), 0), ROW, "Obesity_Type_III", units=UNITS)

        assert found == [
            "Weight 112 kg raises Obesity_Type_III by 0.31",
            "FCVC 2.457 (1 never to 3 always) lowers Obesity_Type_III by 0.06",
        ]

    def test_log_odds(self):
        """The scale is named where it is not a probability."""
        found = sentences(to_json(explanation(scale="log-odds"), 1), ROW, "other", units=UNITS, most=1)

        assert found == ["FCVC 2.457 (1 never to 3 always) lowers other by 0.25 log-odds"]

    def test_a_number_has_no_class(self):
        """A regression moves the output; small effects count, only none is left out."""
        one = explanation(
            classes=("output",),
            values=np.array([[[1234.5], [0.0], [-0.0012]]]),
            base_values=np.zeros(1),
            output=np.zeros((1, 1)),
            scale="value",
        )

        assert sentences(to_json(one, 0), {**ROW, "Weight": None}, "output", units={}) == [
            "Weight (missing) raises the output by 1,234",
            "Gender = Female lowers the output by 0.0012",
        ]

    @pytest.mark.parametrize("scale", ["value", "probability", "log-odds"])
    def test_rounding_is_no_reason(self, scale):
        """What is less than 1e-9 of the largest effect, or than rounding of the output, has no sentence."""
        values = np.array([[[5e7], [0.04], [-0.06]]])
        ends = {"base_values": np.zeros(1), "output": np.full((1, 1), 5e7)}
        one = to_json(explanation(classes=("output",), values=values, scale=scale, **ends), 0)
        nothing = to_json(explanation(classes=("output",), values=values * 1e-15, scale=scale, **ends), 0)

        assert [text.split()[0] for text in sentences(one, ROW, "output", units={})] == ["Weight", "Gender"]
        assert sentences(nothing, ROW, "output", units={}) == []
        sides = Side("version 2", one), Side("version 1", nothing)
        assert [text.split()[0] for text in contrasts(sides, ROW, "output", units={})] == ["Weight", "Gender"]

    def test_a_whole_number_keeps_its_digits(self):
        """Also beyond what a double tells apart."""
        found = sentences(to_json(explanation(), 0), {**ROW, "Weight": 2**53 + 1}, "Obesity_Type_III", units=UNITS)

        assert found[0] == "Weight 9,007,199,254,740,993 kg raises Obesity_Type_III by 0.31"


class TestContrasts:
    """Where two versions give another reason for the same class."""

    def test_the_largest_difference_first(self):
        """Both effects in one sentence; what neither moves noticeably is left out."""
        sides = Side("version 2", to_json(explanation(), 1)), Side("version 1", to_json(explanation(), 0))

        assert contrasts(sides, ROW, "Obesity_Type_III", units=UNITS) == [
            "Weight 112 kg lowers Obesity_Type_III by 0.11 in version 2, raises it by 0.31 in version 1",
            (
                "FCVC 2.457 (1 never to 3 always) raises Obesity_Type_III by 0.25 in version 2, "
                "lowers it by 0.06 in version 1"
            ),
        ]

    def test_columns_are_called_by_their_label(self):
        """The name stands behind it, in one version's reasons and in the differences of two."""
        labels = {"FCVC": "Eats vegetables with meals"}
        sides = Side("version 2", to_json(explanation(), 1)), Side("version 1", to_json(explanation(), 0))
        texts = (
            sentences(to_json(explanation(), 0), ROW, "Obesity_Type_III", units={}, labels=labels)[1],
            contrasts(sides, ROW, "Obesity_Type_III", units={}, labels=labels)[1],
        )

        assert {text.partition(" 2.457 ")[0] for text in texts} == {"Eats vegetables with meals (FCVC)"}

    def test_a_class_that_one_does_not_know(self):
        """It is moved by nothing there."""
        other = to_json(explanation(classes=("thin", "other")), 0)
        sides = Side("version 2", to_json(explanation(), 0)), Side("version 1", other)

        assert contrasts(sides, ROW, "Obesity_Type_III", units=UNITS, most=1) == [
            "Weight 112 kg raises Obesity_Type_III by 0.31 in version 2, hardly moves it in version 1"
        ]


class TestRows:
    """Which rows stand for all."""

    @pytest.mark.parametrize(("exact", "expected"), [(True, (180, 90, 30)), (False, (30, 15, 5))])
    def test_keep_the_shares_of_the_classes(self, exact, expected):
        """300 rows, or 50, sorted and without repetition, each class with its share; the same for the same seed."""
        target = pd.Series(["a"] * 600 + ["b"] * 300 + ["c"] * 100).sample(frac=1, random_state=0)
        found = summary_rows(target, exact=exact, seed=1)
        counts = target.iloc[found].value_counts()

        assert tuple(int(counts[name]) for name in "abc") == expected
        assert (np.diff(found) > 0).all()
        np.testing.assert_array_equal(found, summary_rows(target, exact=exact, seed=1))
        assert (found != summary_rows(target, exact=exact, seed=2)).any()

    def test_of_a_number_cover_its_range(self):
        """Low and high values are there as often as in all rows."""
        target = pd.Series(np.random.default_rng(0).permutation(1000) / 7)
        found = summary_rows(target, exact=False)

        assert (target.iloc[found] < target.median()).sum() == 25

    def test_few_rows_are_all_explained(self):
        """A small table is its own summary, an empty one has none."""
        assert summary_rows(pd.Series(["a", "b", "a"]), exact=True).tolist() == [0, 1, 2]
        assert summary_rows(pd.Series([], dtype="str"), exact=True).tolist() == []

    @pytest.mark.parametrize(("estimator", "rows"), [(LinearRegression(), 300), (GradientBoostingRegressor(), 50)])
    def test_sampling_explains_fewer(self, estimator, rows):
        """A summary has 300 rows where a row is cheap and 50 where it is not."""
        frame = pd.DataFrame(np.random.default_rng(0).normal(size=(400, 3)), columns=list("abc"))
        explainer = Explainer(estimator.fit(frame, frame["a"]), background=frame.head(20))
        positions, found = explain_summary(explainer, frame, frame["a"])

        assert (len(positions), len(found), found.adds_up) == (rows, rows, True)
        np.testing.assert_allclose(found.output[:, 0], estimator.predict(frame.iloc[positions]))
        assert summarise(found)["importance"][0]["column"] == "a"


class TestSecondOpinion:
    """The local surrogate."""

    def test_of_a_linear_model_is_the_model(self):
        """Weights come near coefficient times distance from the background's mean, and R² near 1."""
        random = np.random.default_rng(0)
        frame = pd.DataFrame(random.choice([0.0, 1.0], size=(200, 3)), columns=list("abc")).assign(d="x")
        model = Linear()
        row = pd.DataFrame({"a": [5.0], "b": [4.0], "c": [3.0], "d": ["y"]})
        found = second_opinion(model, row, background=frame, class_index=0, seed=1)

        assert found.weights == pytest.approx({"a": 9.0, "b": -3.5, "c": 0.0, "d": 0.0}, abs=0.3)
        assert 0.9 < found.r2 <= 1
        assert found == second_opinion(model, row, background=frame, class_index=0, seed=1)
        assert found != second_opinion(model, row, background=frame, class_index=0, seed=2)

    def test_agreement(self):
        """The share of the largest effects, of either sign, that both name."""
        first = {"a": 0.5, "b": -0.4, "c": 0.1, "d": 0.0}
        second = {"a": -9, "b": 0, "c": 5, "d": 1}

        assert agreement(first, second, most=2) == 0.5
        assert agreement(first, first) == 1
        assert agreement({}, {}) == 0


class Linear:
    """f = 2a - b, whatever d says."""

    def predict(self, frame):
        return (2 * frame["a"] - frame["b"]).to_numpy()
