"""Metric names: of which more is better, which are shares, and under which names others log what a gate asks for.

The one owner of both. Names are those of scikit-learn (metrics and scorers), MLflow (evaluate and autologging), Keras,
XGBoost, LightGBM and CatBoost, with what they put before and behind: the dataset, the fold, the aggregate.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache

from pipeline.governance.errors import InvalidInput


class Direction(StrEnum):
    """Which end of a metric is the better one."""

    HIGHEST = "highest"
    LOWEST = "lowest"

    @property
    def opposite(self) -> "Direction":
        return Direction.LOWEST if self is Direction.HIGHEST else Direction.HIGHEST


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Words joined by "_", as `_tokens` makes them. Names that end in one of them are of that kind too: `top_k_accuracy`.
SHARES = _words(
    """accuracy acc precision recall sensitivity specificity f1 f2 fbeta f_score dice iou jaccard auc auc_mu aucpr auprc
    auroc gmean g_mean average_precision map ndcg mrr hit_rate exact_match true_positive_rate true_negative_rate tpr tnr
    positive_predictive_value negative_predictive_value ppv npv"""
)
SHARED_ERRORS = _words(
    """error_rate merror binary_error multi_error zero_one_loss hamming_loss misclassification_rate balanced_error_rate
    false_positive_rate false_negative_rate false_discovery_rate fpr fnr fdr"""
)
HIGHER = SHARES | _words(
    """r2 adjusted_r2 explained_variance matthews_corrcoef mcc kappa cohen_kappa wkappa gini normalized_gini dcg
    pfound pre rand adjusted_rand mutual_info adjusted_mutual_info normalized_mutual_info homogeneity completeness
    v_measure fowlkes_mallows silhouette calinski_harabasz consensus label_ranking_average_precision
    positive_likelihood_ratio log_likelihood log_likelihood_of_prediction true_positives true_negatives
    quadratic_weighted_kappa io_u mean_io_u m_io_u dice_coef dice_coefficient ssim psnr concordance_index c_index
    answer_similarity answer_correctness answer_relevance faithfulness
    cosine_similarity pearson spearman pearsonr spearmanr bleu rouge rouge1 rouge2 rouge_l rouge_lsum meteor
    samples_per_second steps_per_second throughput"""
)
LOWER = SHARED_ERRORS | _words(
    """error loss mae mse rmse msle rmsle mape smape wape wmape mdape medae mase nrmse rmspe mphe rse rae deviance
    divergence logloss mlogloss crossentropy cross_entropy cross_entropy_lambda xentropy kldiv kl_divergence
    kullback_leibler brier brier_score ece calibration_error nll nloglik negative_log_likelihood perplexity aic bic
    crps davies_bouldin negative_likelihood_ratio false_positives false_negatives wer cer toxicity inertia
    mean_absolute_percentage_error mean_absolute_scaled_error mean_squared_logarithmic_error
    root_mean_squared_log_error l1 l2 quantile huber pseudo_huber fair poisson gamma tweedie pinball hinge
    squared_hinge expectile logcosh log_cosh multi_class multi_class_one_vs_all multiclass pair_logit num_errors
    latency runtime duration fit_time score_time"""
)
# What decides only as the whole name: as an ending these words can mean anything.
ONLY_WHOLE = _words(
    """l1 l2 quantile fair poisson gamma pre map score rand completeness consensus homogeneity gini pearson spearman
    kappa pfound dcg rouge acc latency runtime duration throughput brier multiclass expectile hinge toxicity pinball
    huber tweedie inertia"""
)
# Best where nearest to zero: neither end is the better one.
SIGNED = _words("mean_error bias_error mean_bias_error mean_signed_error mean_percentage_error bias mbe mpe residual")
# Around a metric's own name: of which rows, which fold, which aggregate. `training` changes no direction.
AROUND = _words(
    """train training learn fit val valid validation test testing tests eval evaluation cv oof oob holdout dev out of
    sample fold split cross validated best final last overall total global macro micro weighted samples binary ovr ovo
    mean avg average median min max low high lower upper bound ci epoch step at k top on data dataset set x y df scaled
    unseen new ms seconds sec v1 v2"""
)
SPREADS = _words("std stdev stddev sd stderr sem rank")  # of any metric less is better
# Not the metric itself: how far it moved, what it is held against.
OTHER_THAN_ITSELF = _words(
    """drop delta diff difference gap change improvement gain vs minus threshold target baseline reference champion
    incumbent benchmark dummy lift uplift regret to width majority null previous old prod production human required"""
)
# Before a metric's name they turn it round, or make another one of it.
TURNED = _words("negative minus inverse inverted inv reciprocal signed")
# When it was best, not how good it was.
MOMENTS = _words("epoch epochs step steps iteration iterations round")
NUMBERED = re.compile(r"(fold|split|valid|validation|val|eval|test|train|dataset|p|v)?\d+")
# scikit-learn's autologging names an estimator's own score after its class; every other `..._score` can be anything.
SCORED = _words("regression regressor classifier pipeline cv svc svr lasso ridge")
TRAINING = _words("train training learn fit trainset traindata traindf xtrain trn tr")
VALIDATION = _words("val valid validation dev valset xval xvalid")
HELD = _words("test testing holdout eval evaluation") | VALIDATION
HELD_OUT = ("test_", "eval_", "val_", "valid_", "validation_")
BEHIND = ("_X_test", "_test", "_x_test")

# Under which names others log what we call so; before each of them stand the names of held-out data, see `accepted`.
NAMES: Mapping[str, tuple[str, ...]] = {
    "accuracy": ("accuracy_score", "acc"),
    "f1_macro": ("f1_score_macro", "macro_f1"),
    "f1_weighted": ("f1_score_weighted", "weighted_f1"),
    "precision_macro": ("precision_score_macro",),
    "recall_macro": ("recall_score_macro",),
    "log_loss": ("logloss", "mlogloss", "binary_logloss", "multi_logloss"),
    "roc_auc": ("roc_auc_score", "auc"),
    "f1": ("f1_score",),
    "precision": ("precision_score",),
    "recall": ("recall_score",),
    "rmse": ("root_mean_squared_error",),
    "mae": ("mean_absolute_error", "l1"),
    "mse": ("mean_squared_error", "l2"),
    "mape": ("mean_absolute_percentage_error",),
    "r2": ("r2_score",),
    "baseline_accuracy": (),
}


# What people read: a label, and what it measures. Settings, addresses, JSON and the registry have the name.
METRIC_WORDS: Mapping[str, tuple[str, str]] = {
    "accuracy": ("Accuracy", "The share of rows answered rightly."),
    "balanced_accuracy": ("Balanced accuracy", "The share of rows answered rightly, each class counting the same."),
    "f1_macro": ("Macro F1", "F1 balances precision and recall; its mean over the classes, each counting the same."),
    "f1_weighted": ("Weighted F1", "F1 balances precision and recall; each class counts by its number of rows."),
    "f1": ("F1", "The balance of precision and recall."),
    "precision_macro": ("Macro precision", "Of the rows given a class, the share that has it; mean over the classes."),
    "precision": ("Precision", "Of the rows given the class, the share that has it."),
    "recall_macro": ("Macro recall", "Of the rows that have a class, the share that was found; mean over the classes."),
    "recall": ("Recall", "Of the rows that have the class, the share that was found."),
    "roc_auc": ("ROC AUC", "How often a row of the class gets a higher probability than a row without it."),
    "average_precision": ("Average precision", "Precision over all thresholds, weighted by the recall each adds."),
    "log_loss": ("Log loss", "How far the probabilities are from what was true: being sure and wrong costs most."),
    "calibration_error": ("Calibration error", "How far stated probabilities are from the shares that were right."),
    "brier_score": ("Brier score", "The mean squared distance of the probabilities from what was true."),
    "baseline_accuracy": ("Baseline accuracy", "What always answering the most frequent class would reach."),
    "cv_accuracy_mean": ("Cross-validated accuracy", "Mean over the folds of the training rows."),
    "cv_accuracy_std": (
        "Cross-validation spread",
        "Standard deviation of the cross-validated accuracy over the folds.",
    ),
    "latency_ms_median": ("Latency, ms", "The median time for one row alone, measured when the version was trained."),
    "mae": ("Mean absolute error", "How far answers are off on average, in the unit of the answer."),
    "rmse": ("Root mean squared error", "How far answers are off; large errors count more."),
    "mse": ("Mean squared error", "The mean of the squared errors."),
    "mape": ("Mean percentage error", "How far answers are off, as a share of what was true."),
    "r2": ("R squared", "The share of the differences between rows that the model explains."),
}


BOUNDS: Mapping[str, str] = {"_low": "lower bound", "_high": "upper bound"}  # of an interval, by the end of its name


def metric_label(name: str) -> str:
    """What people call the metric, or an end of its interval; a name that we do not know stays as it is."""
    if name in METRIC_WORDS:
        return METRIC_WORDS[name][0]
    ends = ((name.removesuffix(end), word) for end, word in BOUNDS.items() if name.endswith(end))
    return next((f"{METRIC_WORDS[base][0]}, {word}" for base, word in ends if base in METRIC_WORDS), name)


def metric_in_text(name: str) -> str:
    """The same in the middle of a sentence: log loss, but R squared and ROC AUC."""
    shown = metric_label(name)
    return f"{shown[0].lower()}{shown[1:]}" if shown != name and shown[1:2].islower() else shown


@dataclass(frozen=True)
class MetricRules:
    """What the settings add to the names that are known anyway.

    lower, higher: names of which less, or more, is better. names: by our name, those that are accepted for it, in
    order; what is not there has the order of `accepted`.
    """

    lower: frozenset[str] = frozenset()
    higher: frozenset[str] = frozenset()
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def known_direction(self, name: str) -> Direction | None:
        """None for a name that says neither."""
        return self.stated(name) or _known(name, self)

    def direction(self, name: str) -> Direction:
        """Raises InvalidInput for a name that says neither, and names the ways to say it."""
        found = self.known_direction(name)
        if found is None:
            raise InvalidInput(
                f"metric: whether more or less of {name!r} is better is not known; say --highest or --lowest, or name "
                "it under evaluation.lower_is_better or evaluation.higher_is_better in params.yaml"
            )
        return found

    def accepted(self, name: str) -> tuple[str, ...]:
        """The names under which our metric is looked for, in this order.

        Those that say held-out data come first, for what Keras calls `accuracy` beside `val_accuracy` is of the
        training rows. Never one that says training rows.
        """
        if name in self.names:
            return self.names[name]
        plain = (name, *NAMES.get(name, ()))
        before = (f"{prefix}{each}" for prefix in HELD_OUT for each in plain)
        behind = (f"{each}{suffix}" for suffix in BEHIND for each in plain)
        return tuple(dict.fromkeys((*before, *behind, *plain))) if name in NAMES else (name,)

    def same(self, ours: str, asked: str) -> bool:
        """Whether both name one metric, such as `rmse` and `root_mean_squared_error`."""
        return asked in (ours, *NAMES.get(ours, ())) or ours in self.accepted(asked)

    def as_json(self) -> dict[str, list[str] | dict[str, list[str]]]:
        names = {name: list(accepted) for name, accepted in self.names.items()}
        return {"lower": sorted(self.lower), "higher": sorted(self.higher), "names": names}

    def stated(self, name: str) -> Direction | None:
        """What the settings say about exactly this name."""
        if name in self.lower:
            return Direction.LOWEST
        return Direction.HIGHEST if name in self.higher else None


DEFAULT_RULES = MetricRules()


@lru_cache(1024)
def direction_of(name: str) -> Direction | None:
    """Which end is better, as far as the name says it by itself."""
    return DEFAULT_RULES.known_direction(name)


@lru_cache(1024)
def is_share(name: str) -> bool:
    """Whether the metric, or a bound or mean of it, lies between 0 and 1."""
    words = _tokens(name)
    if not OTHER_THAN_ITSELF.isdisjoint(words) and words != ["baseline", "accuracy"]:
        return False
    return any(_ends_in(_without_score(core), SHARES | SHARED_ERRORS) for core, spread in _cores(words) if not spread)


def not_a_share(name: str, value: float) -> str | None:
    """Why a value cannot be this metric, in a sentence; None where it can."""
    if not is_share(name) or 0 <= value <= 1:
        return None
    return f"{name} is {value:g}, and a share lies between 0 and 1"


def is_of_training(name: str) -> bool:
    """Whether the name says that it was measured on the training rows."""
    return not TRAINING.isdisjoint(_tokens(name))


@lru_cache(1024)
def is_training_set(dataset: str) -> bool:
    """Whether a dataset, by its label, holds training rows: `train`, `X_train`, `trainset`; not `after_train_test`."""
    words = _tokens(dataset)
    return not TRAINING.isdisjoint(words if HELD.isdisjoint(words) else words[:1])


def rank_of_dataset(dataset: str) -> int:
    """Whose figure counts first: rows that chose nothing (0), rows that chose the model (1), training rows (2)."""
    words = _tokens(dataset)
    chose = not VALIDATION.isdisjoint(words) and (HELD - VALIDATION).isdisjoint(words)
    return 2 if is_training_set(dataset) else int(chose)


def bounds(name: str) -> tuple[str, str]:
    """Under which names the ends of a metric's interval are logged."""
    return f"{name}_low", f"{name}_high"


def is_bound(name: str, names: Iterable[str]) -> bool:
    """Whether it is an end of another metric's interval, or the spread of its mean."""
    known = set(names)
    ends = (("_low", ""), ("_high", ""), ("_std", "_mean"))
    return any(name.endswith(end) and name.removesuffix(end) + of in known for end, of in ends)


def telling(rows: Sequence[Iterable[str]], *, preferred: Sequence[str], most: int = 4) -> list[str]:
    """The metrics that a table of versions shows, each with those that it has.

    The preferred ones where any version has them; else the few that most versions have, those of a known direction
    first, and those of training rows only where there are no others.
    """
    counts: dict[str, int] = {}
    for names in rows:
        for name in names:
            counts[name] = counts.get(name, 0) + 1
    if found := [name for name in dict.fromkeys(preferred) if name in counts]:
        return found
    own = [name for name in counts if not is_bound(name, counts)]
    held_out = [name for name in own if not is_of_training(name)]

    def rank(name: str) -> tuple[bool, int, str]:
        return direction_of(name) is None, -counts[name], name

    return sorted(held_out or own, key=rank)[:most]


def named(names: Iterable[str], *, most: int = 12) -> str:
    """Names for a sentence, in order; how many more there are."""
    ordered = sorted(names)
    more = f" and {len(ordered) - most:,} more" if len(ordered) > most else ""
    return (", ".join(repr(name) for name in ordered[:most]) or "none") + more


def _known(name: str, rules: MetricRules) -> Direction | None:
    words = _tokens(name)
    cores = list(_cores(words))
    complement = words[:1] == ["1"]  # as in `1-auc`
    when = "best" in words and not MOMENTS.isdisjoint((words[0], words[-1]))
    if (
        complement
        or when
        or not OTHER_THAN_ITSELF.isdisjoint(words)
        or any("_".join(core) in SIGNED for core, _ in cores)
    ):
        return None
    for core, spread in cores:
        found = _core_direction(core, rules)
        if found is not None:
            return Direction.LOWEST if spread else found
    return None


def _cores(words: list[str]) -> Iterator[tuple[list[str], bool]]:
    """The name without some of what stands around it, the longest first; whether a spread stood there."""
    start, end = len(_leading(words)), len(words) - len(_leading(words[::-1]))
    spans = [(a, b) for a in range(start + 1) for b in range(end, len(words) + 1) if a < b]
    for a, b in sorted(spans, key=lambda span: span[0] - span[1]):
        yield words[a:b], not SPREADS.isdisjoint([*words[:a], *words[b:]])


def _leading(words: list[str]) -> list[str]:
    """The words from the first one that only stand around a name; a number alone does not begin one."""
    own = (i for i, word in enumerate(words) if word not in AROUND | SPREADS and not NUMBERED.fullmatch(word))
    return words[: next(own, len(words))]


def _core_direction(core: list[str], rules: MetricRules) -> Direction | None:
    """Of a name without its surroundings."""
    if stated := rules.stated("_".join(core)):
        return stated
    if "neg" in core:
        return _negated(core, rules)
    if core == ["score"] or core[0] == "d2":
        return Direction.HIGHEST
    for names, direction in ((LOWER, Direction.LOWEST), (HIGHER, Direction.HIGHEST)):
        if _ends_in(core, names):
            return direction
    if core[-1] != "score":
        return None
    return Direction.HIGHEST if core[-2] in SCORED else _core_direction(core[:-1], rules)


def _negated(core: list[str], rules: MetricRules) -> Direction | None:
    """As scikit-learn's scorers write it: the metric turned round. Behind other words `neg` is for a shorter core."""
    found = _core_direction(core[1:], rules) if core[0] == "neg" and len(core) > 1 else None
    return None if found is None else found.opposite


def _ends_in(core: list[str], names: frozenset[str]) -> bool:
    text = "_".join(core)
    turned = next((i for i, word in enumerate(core) if word in TURNED), len(core))
    tails = ("_".join(core[i:]) for i in range(1, min(len(core), turned + 1)))
    return text in names or any(tail in names - ONLY_WHOLE for tail in tails)


def _without_score(core: list[str]) -> list[str]:
    return core[:-1] if core[-1] == "score" and len(core) > 1 else core


def _tokens(name: str) -> list[str]:
    """The words of a name in lower case: `BalancedErrorRate`, `validation_0-rmse` and `eval/ndcg@5` are cut alike."""
    # CatBoost writes the parameters of a metric behind a colon.
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[a-z0-9])(?=[A-Z][a-z])", "_", name.partition(":")[0])
    return [word for word in re.split(r"[^a-z0-9]+", parted.casefold()) if word]
