"""Metric names: of which more is better, which are shares, and under which names a gate finds what it asks for."""

import pytest
from sklearn.metrics import get_scorer_names

from pipeline.governance.errors import InvalidInput
from pipeline.governance.metrics import (
    Direction,
    MetricRules,
    direction_of,
    is_of_training,
    is_share,
    is_training_set,
    metric_in_text,
    metric_label,
    named,
    not_a_share,
    rank_of_dataset,
    telling,
)

HIGHER = """
accuracy accuracy_score test_accuracy val_accuracy eval_accuracy f1 f1_score f1_macro macro_f1 weighted_avg_f1-score
precision_at_3 recall_at_3 top_k_accuracy top_5_accuracy sparse_categorical_accuracy accuracy_score_X_test
accuracy_on_data_test f1_score-2_X_test LinearRegression_score_X_test cv_accuracy_mean accuracy_low accuracy_high
training_accuracy_score training_score training_r2_score best_cv_score mean_test_score max_val_accuracy
roc_auc roc_auc_ovr_weighted precision_recall_auc validation_0-auc valid_0-auc val_auc_1 auc_mu aucpr ndcg@5 ndcg_at_5
eval-ndcg@5 map@3 interval-regression-accuracy mean_average_precision average_precision_score
BalancedAccuracy TotalF1 AUC MCC R2 NormalizedGini F1:use_weights=true
r2 r2_score explained_variance d2_absolute_error_score d2_log_loss_score d2_brier_score matthews_corrcoef
cohen_kappa_score silhouette_score calinski_harabasz_score v_measure_score jaccard_macro dcg_score
neg_mean_squared_error neg_log_loss neg_brier_score neg_max_error mean_test_neg_log_loss
val_neg_root_mean_squared_error neg_negative_likelihood_ratio true_positives
quadratic_weighted_kappa val_mean_io_u mIoU dice_coef psnr ssim concordance_index answer_similarity/v1/mean
"""
LOWER = """
rmse mae mse mape loss val_loss Val_Loss train_loss train_loss_epoch eval_loss test/loss log-loss log_loss
training_log_loss calibration_error mean_squared_error root_mean_squared_error training_mean_absolute_error
val_mean_absolute_error mean_squared_error_X_test mean_absolute_percentage_error median_absolute_error max_error
mean_squared_log_error root_mean_squared_log_error mean_pinball_loss mean_poisson_deviance mean_tweedie_deviance
brier_score brier_score_loss hinge_loss hamming_loss zero_one_loss coverage_error davies_bouldin_score
categorical_crossentropy kl_divergence huber_loss reconstruction_error perplexity negative_likelihood_ratio
validation_0-rmse validation_0-mlogloss train-rmse eval-logloss error error@0.7 merror rmsle mphe poisson-nloglik
gamma-deviance tweedie-nloglik@1.5 aft-nloglik valid_0-binary_logloss valid_1-multi_error training-l2 l1 l2 xentropy
valid_0-quantile valid_0-mape huber fair kullback_leibler cross_entropy_lambda
RMSE Logloss MultiClass BalancedErrorRate HammingLoss QueryRMSE MultiRMSE Quantile:alpha=0.5 CrossEntropy SMAPE MSLE
MedianAbsoluteError ZeroOneLoss NumErrors PairLogit
cv_rmse_mean rmse_low rmse_high holdout_rmse accuracy_std cv_rmse_std std_test_score rank_test_score neg_accuracy
latency_ms mean_fit_time eval_runtime false_positives negative_log_likelihood val_false_negative_rate rmspe
"""
NEITHER = """
profit temperature n example_count sum_on_target learning_rate best_iteration epoch anomaly_score drift_score
accuracy_drop delta_rmse accuracy_vs_champion auc_gap baseline_accuracy mean_error val_mean_error bias 1-auc neg
duration_of_stay ratio std test negative_mse inverse_rmse signed_error time_to_accuracy best_accuracy_epoch
epoch_of_best_loss required_accuracy majority_accuracy
"""


@pytest.mark.parametrize("name", [*HIGHER.split(), *get_scorer_names()])
def test_more_is_better(name: str) -> None:
    """Of scores, and of whatever scikit-learn's scorers turned round."""
    assert direction_of(name) is Direction.HIGHEST


@pytest.mark.parametrize("name", LOWER.split())
def test_less_is_better(name: str) -> None:
    """Of errors, losses and times, and of the spread of anything."""
    assert direction_of(name) is Direction.LOWEST


@pytest.mark.parametrize("name", [*NEITHER.split(), "", "???"])
def test_what_the_name_does_not_say_is_not_guessed(name: str) -> None:
    """Names that look like a metric and are how far one moved, or best near zero, among them."""
    assert direction_of(name) is None
    with pytest.raises(InvalidInput, match=r"say --highest or --lowest, or name it under evaluation\.lower_is_better"):
        MetricRules().direction(name)


def test_the_settings_say_what_the_name_does_not() -> None:
    """With the usual prefixes too, and before what is known anyway."""
    rules = MetricRules(lower=frozenset({"cost", "gini"}), higher=frozenset({"profit"}))

    assert [rules.direction(name) for name in ("cost", "val_cost", "gini", "profit", "cv_profit_mean", "accuracy")] == [
        Direction.LOWEST, Direction.LOWEST, Direction.LOWEST, Direction.HIGHEST, Direction.HIGHEST, Direction.HIGHEST,
    ]  # fmt: skip
    assert Direction.LOWEST.opposite is Direction.HIGHEST
    assert rules.as_json() == {"lower": ["cost", "gini"], "higher": ["profit"], "names": {}}


@pytest.mark.parametrize(
    "name",
    ["accuracy", "accuracy_score", "test_accuracy", "val_acc", "f1_macro", "roc_auc_ovr", "accuracy_low", "merror",
     "baseline_accuracy", "hamming_loss", "valid_0-binary_error"],
)  # fmt: skip
def test_a_share_lies_between_0_and_1(name: str) -> None:
    """62 is no accuracy, nor is -0.1."""
    assert is_share(name)
    assert not_a_share(name, 62.0) == f"{name} is 62, and a share lies between 0 and 1"
    assert not_a_share(name, -0.1)
    assert not_a_share(name, 0.0) == not_a_share(name, 1.0) is None


@pytest.mark.parametrize("name", ["rmse", "log_loss", "r2", "score", "mcc", "profit", "accuracy_drop", "accuracy_std"])
def test_other_metrics_may_be_any_number(name: str) -> None:
    """Nobody knows their range."""
    assert not_a_share(name, -62.0) is None


def test_held_out_names_come_first_and_training_never() -> None:
    """What Keras calls accuracy beside val_accuracy is of the training rows."""
    names = MetricRules().accepted("accuracy")

    assert names[0] == "test_accuracy"
    assert {"accuracy", "accuracy_score", "test_accuracy_score", "val_accuracy", "accuracy_score_X_test"} <= set(names)
    assert names.index("val_accuracy") < names.index("accuracy") < names.index("accuracy_score")
    assert not any(is_of_training(name) for name in names)
    assert MetricRules().accepted("profit") == ("profit",)
    assert "root_mean_squared_error" in MetricRules().accepted("rmse")


@pytest.mark.parametrize(
    ("dataset", "training"),
    [("train (773e1e09)", True), ("X_train", True), ("trainset", True), ("df_tr", True), ("train_test", True),
     ("test (d1)", False), ("after_train_test", False), ("dataset (773e1e09)", False), ("", False)],
)  # fmt: skip
def test_a_dataset_of_training_rows_is_known_by_its_name(dataset: str, training: bool) -> None:
    """Wherever the word stands in it, unless another one says held-out rows."""
    assert is_training_set(dataset) is training


def test_rows_that_chose_the_model_count_after_those_that_did_not() -> None:
    """A figure on validation rows is the better for having been looked at, one on training rows more so."""
    ranks = {"test (d1)": 0, "holdout": 0, "validation_test": 0, "dataset": 0, "val": 1, "X_valid (d2)": 1, "train": 2}

    assert {dataset: rank_of_dataset(dataset) for dataset in ranks} == ranks


def test_the_settings_name_what_is_accepted_and_in_which_order() -> None:
    """Then nothing else is; training rows where somebody says so."""
    rules = MetricRules(names={"accuracy": ("hit_share", "training_accuracy_score")})

    assert rules.accepted("accuracy") == ("hit_share", "training_accuracy_score")


@pytest.mark.parametrize(
    ("ours", "asked", "one"),
    [
        ("rmse", "rmse", True),
        ("rmse", "root_mean_squared_error", True),
        ("rmse", "mae", False),
        ("accuracy", "accuracy_score", True),
    ],
)
def test_one_metric_has_several_names(ours: str, asked: str, one: bool) -> None:
    """A gate may ask for what the rows give by the name of scikit-learn."""
    assert MetricRules().same(ours, asked) is one


def test_a_table_shows_the_metrics_that_the_model_has() -> None:
    """The preferred ones where there are any; else those of most versions; of training rows for want of others."""
    held = [{"rmse": 1, "mae": 1, "training_r2_score": 1}, {"rmse": 2, "profit": 3, "rmse_low": 1, "rmse_high": 3}]

    assert telling(held, preferred=["f1_macro", "accuracy"]) == ["rmse", "mae", "profit"]
    assert telling([{"training_r2_score": 1.0}], preferred=["accuracy"]) == ["training_r2_score"]
    assert telling(held, preferred=["accuracy", "mae"]) == ["mae"]
    assert telling([], preferred=["accuracy"]) == []


def test_names_stand_in_a_sentence() -> None:
    """A few of them, and how many more there are."""
    assert named([]) == "none"
    assert named(["b", "a"]) == "'a', 'b'"
    assert named(["a", "b", "c"], most=2) == "'a', 'b' and 1 more"


def test_people_read_a_metrics_name_in_words() -> None:
    """With the ends of its interval; one that we do not know stays as it is."""
    assert (metric_label("mae"), metric_label("their_own")) == ("Mean absolute error", "their_own")
    assert (metric_label("mae_high"), metric_label("their_own_low")) == (
        "Mean absolute error, upper bound",
        "their_own_low",
    )
    assert [metric_in_text(name) for name in ("log_loss", "roc_auc", "r2", "Theirs")] == [
        "log loss", "ROC AUC", "R squared", "Theirs",
    ]  # fmt: skip
