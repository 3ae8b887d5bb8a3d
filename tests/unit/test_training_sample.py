"""The generated sample data."""

import numpy as np
import pandas as pd
import pytest

from pipeline.settings import read_settings
from pipeline.training.data import generate_sample

SETTINGS = read_settings(environ={})


@pytest.fixture(scope="module")
def sample() -> pd.DataFrame:
    return generate_sample(2400, seed=544)


def test_same_arguments_give_the_same_rows(sample):
    """Two calls with the same size and seed give equal frames, another seed gives others."""
    pd.testing.assert_frame_equal(sample, generate_sample(2400, seed=544))

    assert not sample.equals(generate_sample(2400, seed=545))


def test_columns_are_those_of_the_schema(sample):
    """The sample has the schema's columns in its order, the target last, and the asked number of rows."""
    schema = SETTINGS.schema_

    assert list(sample.columns) == [*schema.columns, schema.target.name]
    assert len(sample) == 2400


def test_values_lie_inside_the_schema(sample):
    """Nothing of the sample has to be clipped or replaced."""
    schema = SETTINGS.schema_

    assert all(sample[name].between(column.minimum, column.maximum).all() for name, column in schema.numbers.items())
    assert all(set(sample[name]) <= set(column.categories) for name, column in schema.categories.items())


def test_every_class_has_rows(sample):
    """All seven classes are there, each with at least one row in twenty."""
    shares = sample["NObeyesdad"].value_counts(normalize=True)

    assert set(shares.index) == set(SETTINGS.schema_.target.classes)
    assert shares.min() > 0.05


def test_reports_are_near_the_truth_but_not_equal_to_it(sample):
    """The class follows the true body-mass index: the reported one agrees for most rows and not for all."""
    index = sample["Weight"] / sample["Height"] ** 2
    classes = np.array(SETTINGS.schema_.target.classes)
    by_report = classes[np.searchsorted([18.5, 25, 27.5, 30, 35, 40], index, side="right")]

    agreement = (by_report == sample["NObeyesdad"]).mean()

    assert 0.95 < agreement < 0.995


@pytest.mark.parametrize("rows", [200, 201])
def test_small_samples_work(rows):
    """The smallest sample that the settings allow has its rows."""
    assert len(generate_sample(rows, seed=1)) == rows
