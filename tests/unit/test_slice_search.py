"""Slices that nobody listed: a planted weakness is found, chance is not, and what is said of them is right."""

import time

import numpy as np
import pytest
from scipy import stats

from pipeline.comparison.intervals import wilson
from pipeline.comparison.rows import Rows
from pipeline.comparison.search import (
    SliceSearch,
    few_hits,
    levels_of,
    ranks_of,
    tarone,
    weaker_than_overall,
    worse_than,
)
from pipeline.governance.errors import InvalidInput

PLANTED = (("t0", "a"), ("t1", "b"))


def inputs(n: int, *, columns: int = 6, seed: int = 0) -> dict:
    random = np.random.default_rng(seed)
    letters = np.array(list("abc"), dtype=object)
    half = columns // 2
    return {
        **{f"x{number}": random.normal(size=n) for number in range(columns - half)},
        **{f"t{number}": letters[random.integers(3, size=n)] for number in range(half)},
    }


def planted(columns: dict) -> np.ndarray:
    return (columns["t0"] == "a") & (columns["t1"] == "b")


def classes(columns: dict, right: float | np.ndarray, *, seed: int) -> Rows:
    n = len(columns["t0"])
    hits = np.random.default_rng(seed).random(n) < right
    return Rows(
        columns, np.full(n, "yes", dtype=object), np.where(hits, "yes", "no").astype(object), (), np.zeros((n, 0))
    )


def numbers(columns: dict, noise: float | np.ndarray, *, seed: int) -> Rows:
    n = len(columns["t0"])
    actual = np.random.default_rng(1).normal(50, 10, n)
    predicted = actual + np.random.default_rng(seed).standard_t(3, size=n) * noise
    return Rows(columns, actual, predicted, (), np.zeros((n, 0)))


def first(found: SliceSearch) -> tuple:
    return tuple(sorted(found.found[0].parts)) if found.found else ()


def test_a_planted_slice_is_found_first():
    """Of classes and of numbers, against all rows and against another version; its figures are those of its rows."""
    columns = inputs(4_000)
    where = planted(columns)
    weak, even = classes(columns, np.where(where, 0.6, 0.9), seed=1), classes(columns, 0.9, seed=2)
    far, near = numbers(columns, np.where(where, 4.0, 1.0), seed=3), numbers(columns, 1.0, seed=4)
    found = [
        weaker_than_overall(weak, 0.95),
        worse_than(weak, even, 0.95),
        weaker_than_overall(far, 0.95),
        worse_than(far, near, 0.95),
    ]

    assert [first(each) for each in found] == [PLANTED] * 4
    assert [each.metric for each in found] == ["accuracy", "accuracy", "mae", "mae"]
    own, against = found[0].found[0], found[1].found[0]
    share, other = (float((rows.actual == rows.predicted)[where].mean()) for rows in (weak, even))
    assert (own.n, own.value, own.reference) == (int(where.sum()), share, float((weak.actual == weak.predicted).mean()))
    assert (against.value, against.reference) == (share, other)
    assert own.low < share < own.high < own.reference
    assert against.low < share - other < against.high < 0
    errors = np.abs(far.predicted - far.actual)
    assert found[2].found[0].value == pytest.approx(errors[where].mean())
    assert found[3].found[0].low < found[3].found[0].difference < found[3].found[0].high


def test_tests_are_scipy_s():
    """The hypergeometric distribution below one standard deviation under the mean, and ranks of values that tie."""
    random = np.random.default_rng(0)
    n = random.integers(30, 900, 200).astype(float)
    hits = np.floor(n * random.uniform(0.6, 1, 200))
    expected = stats.hypergeom.cdf(hits, 1_000, 880, n)
    hits, n, expected = (each[expected < 0.1] for each in (hits, n, expected))

    assert few_hits(hits, n, total=880, rows=1_000) == pytest.approx(expected, rel=1e-9, abs=1e-300)
    assert ranks_of(np.array([3.0, 1, 3, 2])).tolist() == stats.rankdata([3, 1, 3, 2]).tolist()


def test_intervals_are_wider_the_more_was_tried():
    """Those of all slices hold together: Wilson's interval at the level divided by the number tried."""
    columns = inputs(4_000)
    found = weaker_than_overall(classes(columns, np.where(planted(columns), 0.6, 0.9), seed=1), 0.95)
    worst = found.found[0]

    assert (worst.low, worst.high) == wilson(round(worst.value * worst.n), worst.n, 1 - 0.05 / found.tried)


@pytest.mark.parametrize(
    "search",
    [
        lambda columns, seed: weaker_than_overall(classes(columns, 0.9, seed=seed), 0.95),
        lambda columns, seed: weaker_than_overall(numbers(columns, 1.0, seed=seed), 0.95),
        lambda columns, seed: worse_than(
            classes(columns, 0.8, seed=seed), classes(columns, 0.8, seed=seed + 500), 0.95
        ),
        lambda columns, seed: worse_than(
            numbers(columns, 1.0, seed=seed), numbers(columns, 1.0, seed=seed + 500), 0.95
        ),
    ],
    ids=["classes", "numbers", "two of classes", "two of numbers"],
)
def test_chance_is_not_reported(search):
    """Where nothing depends on the columns, at most some 5 % of the searches name anything: here at most 5 of 40."""
    named = sum(bool(search(inputs(600, seed=seed), seed).found) for seed in range(40))

    assert named <= 5


def test_a_combination_is_left_out_where_one_column_says_it_all():
    """A weakness of one column shows in all its combinations; it is listed once, and all are counted."""
    columns = inputs(6_000)
    found = weaker_than_overall(classes(columns, np.where(columns["t0"] == "a", 0.6, 0.95), seed=1), 0.95)

    assert [each.parts for each in found.found] == [(("t0", "a"),)]
    assert found.significant > 5


def test_what_is_no_slice():
    """Few rows, a single value, the 41st column and the rarest categories; missing values are a level."""
    n = 400
    rare = np.array(["common"] * (n - 20) + ["rare"] * 20, dtype=object)
    gaps = np.where(np.arange(n) % 4 == 0, np.nan, np.arange(n) % 3)
    letters = np.array([chr(97 + each % 12) for each in range(n)], dtype=object)
    columns = {"rare": rare, "one": np.ones(n), "gaps": gaps, "letters": letters}
    levels = levels_of({**columns, **{f"more{number}": gaps for number in range(40)}})

    assert {name for name, _ in levels.names} == {"gaps", "letters", *(f"more{number}" for number in range(36))}
    assert [value for name, value in levels.names if name == "gaps"] == ["0", "1", "2", "missing"]
    assert sum(name == "letters" for name, _ in levels.names) == 8


def test_numbers_are_cut_at_their_quartiles():
    """Each range holds a quarter of the rows, its lower end and, the last one, its upper end."""
    levels = levels_of({"x": np.arange(400.0)})

    assert [value for _, value in levels.names] == ["0\N{EN DASH}99.75", "99.75\N{EN DASH}199.5",
                                                    "199.5\N{EN DASH}299.2", "299.2\N{EN DASH}399"]  # fmt: skip
    assert np.bincount(levels.codes[:, 0]).tolist() == [100] * 4


def test_tests_that_cannot_be_significant_do_not_count():
    """Three of four tests can give no less than 0.5: one counts, as without them. Where all can give 0, all count."""
    assert tarone(np.array([0.0, 0.5, 0.5, 0.5]), 0.05) == 1
    assert tarone(np.zeros(100), 0.05) == 100
    assert tarone(np.zeros(0), 0.05) == 1


def test_without_columns_nothing_is_tried():
    """No slice, and no failure; other rows are refused."""
    rows = classes(inputs(50), 0.5, seed=0)
    bare = Rows({}, rows.actual, rows.predicted, (), rows.probabilities)

    assert weaker_than_overall(bare, 0.95).tried == 0
    with pytest.raises(InvalidInput, match="same columns"):
        worse_than(rows, bare, 0.95)


def test_ten_thousand_rows_of_thirty_columns_take_under_a_second():
    """Of processor time, some 6,000 slices."""
    columns = inputs(10_000, columns=30)
    rows = classes(columns, 0.9, seed=1)
    before = time.process_time()
    found = weaker_than_overall(rows, 0.95)

    assert time.process_time() - before < 1
    assert found.tried > 4_000
