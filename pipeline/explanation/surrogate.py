"""A second opinion about one row: a small linear model of the model, around that row."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.linear_model import Ridge
from threadpoolctl import threadpool_limits

from pipeline.explanation.model_output import Model, natural_scale, own_output
from pipeline.explanation.result import Scale
from pipeline.explanation.sampling import encoded

SAMPLES = 1_000
KERNEL_WIDTH = 0.75  # times the square root of the number of columns, as in the paper's own code
MOST = 5


@dataclass(frozen=True)
class SecondOpinion:
    """A linear model of the model, around one row and for one class."""

    # Per column, by how much the output is larger with the row's value than with one from the background.
    weights: Mapping[str, float]
    # How well the linear model fits around the row, at most 1; near 0 or below, the weights mean little.
    r2: float
    # In what the output is measured.
    scale: Scale


def second_opinion(
    model: Model,
    row: pd.DataFrame,
    *,
    background: pd.DataFrame,
    class_index: int,
    seed: int = 0,
    scale: Scale | None = None,
) -> SecondOpinion:
    """In the manner of LIME (M. Ribeiro, S. Singh, C. Guestrin, "Why should I trust you?", KDD 2016).

    row: one row in the background's columns. Each column of a sample keeps the row's value or takes a background row's;
    Ridge learns the model's output from what was kept, samples near the row counting more. scale: None for the model's
    own. Raises InvalidInput where the model refuses the row.
    """
    random, scale = np.random.default_rng(seed), scale or natural_scale(model)
    everything = encoded([background, row[list(background.columns)].head(1)])
    width = background.shape[1]
    kept = random.random((SAMPLES, width)) < 0.5  # noqa: PLR2004
    kept[0] = True
    drawn = random.integers(len(background), size=kept.shape)
    codes = np.where(kept, everything.codes[-1], everything.codes[drawn, np.arange(width)])
    with threadpool_limits(1, user_api="openmp"):  # see Explainer
        output = own_output(model, everything.decode(codes), scale)[:, class_index]
    nearness = np.exp(-(~kept).sum(axis=1) / (KERNEL_WIDTH**2 * width))
    linear = Ridge(alpha=1.0).fit(kept, output, sample_weight=nearness)
    weights = {str(name): float(weight) for name, weight in zip(background.columns, linear.coef_, strict=True)}
    return SecondOpinion(weights, float(linear.score(kept, output, sample_weight=nearness)), scale)


def agreement(first: Mapping[str, float], second: Mapping[str, float], *, most: int = MOST) -> float:
    """The share, in [0, 1], of the columns with the largest |effect| in `first` that are among those of `second`."""
    top = [set(sorted(effects, key=lambda name: -abs(effects[name]))[:most]) for effects in (first, second)]
    return len(top[0] & top[1]) / max(1, len(top[0]))
