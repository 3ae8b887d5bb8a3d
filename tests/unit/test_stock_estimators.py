"""Stock scikit-learn under the default allow-list: what was tried, and what its compiled code would believe."""

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import scipy.stats
import skops.io
from sklearn import (
    calibration,
    cluster,
    compose,
    decomposition,
    discriminant_analysis,
    ensemble,
    feature_extraction,
    feature_selection,
    gaussian_process,
    impute,
    linear_model,
    manifold,
    model_selection,
    multiclass,
    naive_bayes,
    neighbors,
    neural_network,
    preprocessing,
    random_projection,
    svm,
    tree,
)
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 (scikit-learn asks for it)
from sklearn.pipeline import make_pipeline

from pipeline.governance.errors import Refused
from pipeline.serving.worker.allow_list import OutsidePolicy
from pipeline.serving.worker.load import load_model
from pipeline.settings import read_settings
from support.hostile_models import fitted, replace_model, save

ALLOWED = read_settings(environ={}).serving.allowed_types
RANDOM = np.random.default_rng(5)
X = RANDOM.normal(size=(80, 4))
Y = np.array(["a", "b", "c"])[RANDOM.integers(0, 3, 80)]
TWO, NUMBER = np.where(X[:, 0] > 0, "yes", "no"), X[:, 0] * 2 + X[:, 1]
HOLES = np.where(RANDOM.random(X.shape) < 0.1, np.nan, X)
TEXTS = ["good product", "bad product", "nice and good", "terrible bad"] * 20
logistic, ridge = linear_model.LogisticRegression, linear_model.Ridge


def quietly(model: Any) -> Any:
    """Fitted in a way that scikit-learn will give up, and models of today were fitted in."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(X, Y)


TRIED: dict[str, Callable[[], Any]] = {
    "SimpleImputer": lambda: make_pipeline(impute.SimpleImputer(add_indicator=True), logistic()).fit(HOLES, Y),
    "KNNImputer": lambda: make_pipeline(impute.KNNImputer(), logistic()).fit(HOLES, Y),
    "IterativeImputer": lambda: make_pipeline(impute.IterativeImputer(tol=1), logistic()).fit(HOLES, Y),
    "SVC": lambda: svm.SVC().fit(X, Y),
    "SVC with probabilities": lambda: quietly(svm.SVC(probability=True)),
    "SVC of two": lambda: svm.SVC(kernel="poly").fit(X, TWO),
    "NuSVC": lambda: svm.NuSVC(nu=0.1).fit(X, Y),
    "SVR": lambda: svm.SVR().fit(X, NUMBER),
    "NuSVR": lambda: svm.NuSVR(kernel="linear").fit(X, NUMBER),
    "OneClassSVM": lambda: svm.OneClassSVM().fit(X),
    "LinearSVC": lambda: svm.LinearSVC().fit(X, Y),
    "KNeighborsClassifier": lambda: neighbors.KNeighborsClassifier().fit(X, Y),
    "KNeighborsClassifier, ball tree": lambda: neighbors.KNeighborsClassifier(algorithm="ball_tree", leaf_size=5).fit(
        X, Y
    ),
    "KNeighborsClassifier, Manhattan": lambda: neighbors.KNeighborsClassifier(p=1, leaf_size=3).fit(X, Y),
    "KNeighborsClassifier, all rows": lambda: neighbors.KNeighborsClassifier(algorithm="brute").fit(X, Y),
    "KNeighborsClassifier, sparse": lambda: neighbors.KNeighborsClassifier().fit(scipy.sparse.csr_matrix(X), Y),
    "KNeighborsRegressor": lambda: neighbors.KNeighborsRegressor().fit(X, NUMBER),
    "RadiusNeighborsClassifier": lambda: neighbors.RadiusNeighborsClassifier(9.0).fit(X, Y),
    "NearestCentroid": lambda: neighbors.NearestCentroid().fit(X, Y),
    "LocalOutlierFactor": lambda: neighbors.LocalOutlierFactor(novelty=True).fit(X),
    "GridSearchCV": lambda: model_selection.GridSearchCV(logistic(), {"C": [1, 2]}, cv=2).fit(X, Y),
    "GridSearchCV by F1": lambda: model_selection.GridSearchCV(logistic(), {"C": [1]}, cv=2, scoring="f1_macro").fit(
        X, Y
    ),
    "RandomizedSearchCV": lambda: model_selection.RandomizedSearchCV(logistic(), {"C": [1, 2]}, n_iter=2, cv=2).fit(
        X, Y
    ),
    "VotingClassifier": lambda: ensemble.VotingClassifier(
        [("a", logistic()), ("b", tree.DecisionTreeClassifier())]
    ).fit(X, Y),
    "VotingRegressor": lambda: ensemble.VotingRegressor([("a", ridge()), ("b", svm.SVR())]).fit(X, NUMBER),
    "StackingClassifier": lambda: ensemble.StackingClassifier([("a", logistic())], cv=2).fit(X, Y),
    "StackingRegressor": lambda: ensemble.StackingRegressor([("a", ridge())], cv=2).fit(X, NUMBER),
    "BaggingClassifier": lambda: ensemble.BaggingClassifier(max_features=2, n_estimators=3).fit(X, Y),
    "BaggingRegressor": lambda: ensemble.BaggingRegressor(n_estimators=3).fit(X, NUMBER),
    "AdaBoostClassifier": lambda: ensemble.AdaBoostClassifier(n_estimators=3).fit(X, Y),
    "AdaBoostRegressor": lambda: ensemble.AdaBoostRegressor(n_estimators=3).fit(X, NUMBER),
    "GradientBoostingClassifier": lambda: ensemble.GradientBoostingClassifier(n_estimators=3).fit(X, Y),
    "GradientBoostingClassifier of two": lambda: ensemble.GradientBoostingClassifier(n_estimators=3).fit(X, TWO),
    "GradientBoostingRegressor": lambda: ensemble.GradientBoostingRegressor(n_estimators=3, init="zero").fit(X, NUMBER),
    "HistGradientBoostingRegressor": lambda: ensemble.HistGradientBoostingRegressor(max_iter=3).fit(X, NUMBER),
    "IsolationForest": lambda: ensemble.IsolationForest(n_estimators=5).fit(X),
    "IsolationForest, some columns": lambda: ensemble.IsolationForest(n_estimators=5, max_features=2).fit(X),
    "ExtraTreesRegressor": lambda: ensemble.ExtraTreesRegressor(5).fit(X, NUMBER),
    "CalibratedClassifierCV": lambda: calibration.CalibratedClassifierCV(svm.LinearSVC(), cv=2).fit(X, Y),
    "CalibratedClassifierCV, isotonic": lambda: calibration.CalibratedClassifierCV(
        logistic(), method="isotonic", cv=2
    ).fit(X, Y),
    "TunedThresholdClassifierCV": lambda: model_selection.TunedThresholdClassifierCV(logistic(), cv=2).fit(X, TWO),
    "OneVsRestClassifier": lambda: multiclass.OneVsRestClassifier(svm.SVC()).fit(X, Y),
    "KMeans": lambda: cluster.KMeans(3, n_init=1).fit(X),
    "MiniBatchKMeans": lambda: cluster.MiniBatchKMeans(3, n_init=1).fit(X),
    "MLPClassifier": lambda: neural_network.MLPClassifier((3,), max_iter=400, tol=1).fit(X, Y),
    "GaussianProcessRegressor": lambda: gaussian_process.GaussianProcessRegressor(gaussian_process.kernels.RBF()).fit(
        X, NUMBER
    ),
    "GaussianNB": lambda: naive_bayes.GaussianNB().fit(X, Y),
    "LinearDiscriminantAnalysis": lambda: discriminant_analysis.LinearDiscriminantAnalysis().fit(X, Y),
    "SGDClassifier": lambda: linear_model.SGDClassifier().fit(X, Y),
    "TweedieRegressor": lambda: linear_model.TweedieRegressor().fit(X, NUMBER),
    "PCA": lambda: make_pipeline(decomposition.PCA(2), logistic()).fit(X, Y),
    "TruncatedSVD": lambda: make_pipeline(decomposition.TruncatedSVD(2), logistic()).fit(X, Y),
    "SelectKBest": lambda: make_pipeline(feature_selection.SelectKBest(k=2), logistic()).fit(X, Y),
    "KBinsDiscretizer": lambda: make_pipeline(
        preprocessing.KBinsDiscretizer(3, quantile_method="averaged_inverted_cdf"), logistic()
    ).fit(X, Y),
    "SparseRandomProjection": lambda: make_pipeline(random_projection.SparseRandomProjection(2), logistic()).fit(X, Y),
    "OneHotEncoder, rare ones together": lambda: make_pipeline(
        preprocessing.OneHotEncoder(min_frequency=10, handle_unknown="infrequent_if_exist", drop="first"), logistic()
    ).fit(X.round(), Y),
    "TransformedTargetRegressor": lambda: compose.TransformedTargetRegressor(
        ridge(), transformer=preprocessing.StandardScaler()
    ).fit(X, NUMBER),
    "DictVectorizer": lambda: make_pipeline(feature_extraction.DictVectorizer(), ridge()).fit(
        [{"a": "x"}, {"a": "y"}], [1, 2]
    ),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return save(fitted("logistic_regression"), tmp_path_factory.mktemp("clean") / "model")


@pytest.fixture
def folder(place, tmp_path) -> Path:
    return shutil.copytree(place, tmp_path / "model")


def loaded(model: Any, folder: Path) -> Any:
    return load_model(replace_model(folder, model), allowed_types=ALLOWED).model


def refusal(model: Any, folder: Path) -> str:
    with pytest.raises(Refused) as caught:
        loaded(model, folder)
    return str(caught.value)


@pytest.mark.parametrize("name", TRIED)
def test_stock_estimators_load_and_predict_as_before(folder, name):
    """Whatever the default allow-list takes: the same answers, to the last bit."""
    model = TRIED[name]()
    given: Any = {"DictVectorizer": [{"a": "x"}, {"a": "z"}], "OneHotEncoder, rare ones together": X.round()}.get(
        name, X
    )

    assert np.array_equal(loaded(model, folder).predict(given), model.predict(given))


def test_text_and_the_scorers_of_a_search(folder):
    """Vectorizers, and every measure by which a search may have chosen that the list names."""
    model = make_pipeline(feature_extraction.text.TfidfVectorizer(), logistic()).fit(TEXTS, [1, 0, 1, 0] * 20)

    assert np.array_equal(loaded(model, folder).predict(TEXTS), model.predict(TEXTS))
    for scoring in ("accuracy", "balanced_accuracy", "f1_macro", "roc_auc", "average_precision", "neg_log_loss"):
        loaded(model_selection.GridSearchCV(logistic(), {"C": [1]}, cv=2, scoring=scoring).fit(X, TWO == "yes"), folder)
    for scoring in ("r2", "neg_mean_squared_error", "neg_root_mean_squared_error", "neg_mean_absolute_error"):
        loaded(model_selection.GridSearchCV(ridge(), {"alpha": [1]}, cv=2, scoring=scoring).fit(X, NUMBER), folder)


NOT_ALLOWED = {
    # scipy's distributions run text from their own state when they are made.
    "a search over distributions": (
        lambda: model_selection.RandomizedSearchCV(logistic(), {"C": scipy.stats.loguniform(1, 2)}, n_iter=1, cv=2).fit(
            X, Y
        ),
        "scipy.stats",
    ),
    "NMF": (lambda: make_pipeline(decomposition.NMF(2), logistic()).fit(abs(X), Y), "sklearn.decomposition._nmf.NMF"),
    "Isomap": (
        lambda: make_pipeline(manifold.Isomap(), logistic()).fit(X, Y),
        "sklearn.manifold._isomap.Isomap",
    ),
    "SplineTransformer": (
        lambda: make_pipeline(preprocessing.SplineTransformer(), logistic()).fit(X, Y),
        "scipy.interpolate._bsplines.BSpline",
    ),
    "BisectingKMeans": (lambda: cluster.BisectingKMeans(2).fit(X), "sklearn.cluster._bisect_k_means._BisectingTree"),
}


@pytest.mark.parametrize("name", NOT_ALLOWED)
def test_a_refusal_names_the_setting_and_the_line(folder, name):
    """Whoever wants it anyway knows what to write, and where."""
    build, needed = NOT_ALLOWED[name]
    with pytest.raises(OutsidePolicy) as caught:
        loaded(build(), folder)

    assert f'"- {needed}' in str(caught.value)
    assert "who trusts its makers adds the line" in str(caught.value)


def test_one_line_and_several(folder):
    """With these lines it loads."""
    model = make_pipeline(preprocessing.SplineTransformer(), logistic()).fit(X, Y)
    needed = [
        *skops.io.get_untrusted_types(data=skops.io.dumps(model)),
        "sklearn.preprocessing._polynomial.SplineTransformer",
    ]

    assert "the lines " in refusal(model, folder)
    assert load_model(replace_model(folder, model), allowed_types=[*ALLOWED, *needed]).model.predict(X) is not None


def test_an_older_settings_file_allows_what_it_allowed(folder):
    """Two types, as the first version listed them: forests and boosting load, and what needs no compiled type."""
    two = ["sklearn.tree._tree.Tree", "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"]
    for model in (fitted("random_forest"), fitted("hist_gradient_boosting"), svm.SVC().fit(X, Y)):
        load_model(replace_model(folder, model), allowed_types=two)
    with pytest.raises(
        OutsidePolicy, match=r'the lines "- sklearn.metrics._dist_metrics.EuclideanDistance64", "- sklearn'
    ):
        load_model(replace_model(folder, neighbors.KNeighborsClassifier().fit(X, Y)), allowed_types=two)


# What compiled code would believe


def spoiled(model: Any, **attributes: Any) -> Any:
    for name, value in attributes.items():
        setattr(model, name, value)
    return model


def search_tree(**fields: Any) -> Any:
    """A classifier whose tree says something else in one field of its nodes, or of itself."""
    model = neighbors.KNeighborsClassifier(leaf_size=5).fit(X, Y)
    state = list(model._tree.__getstate__())
    nodes = state[2].copy()
    for name, value in fields.items():
        if name in nodes.dtype.names:
            nodes[name][0] = value
        else:
            state[int(name.removeprefix("state_"))] = value
    state[2] = nodes if "state_2" not in fields else state[2]
    model._tree.__setstate__(tuple(state))
    return model


def narrow_boosting() -> Any:
    model = ensemble.GradientBoostingClassifier(n_estimators=2).fit(X, Y)
    other = ensemble.GradientBoostingClassifier(n_estimators=2).fit(np.c_[X, X], Y)
    model.estimators_[1, 1] = other.estimators_[1, 1]
    return model


def boosting(**attributes: Any) -> Any:
    return spoiled(ensemble.GradientBoostingClassifier(n_estimators=2).fit(X, Y), **attributes)


def narrow_isolation() -> Any:
    model = ensemble.IsolationForest(n_estimators=3, max_features=3).fit(X)
    model.estimators_features_[1] = model.estimators_features_[1][:1]
    return model


def one_hot(**attributes: Any) -> Any:
    return spoiled(preprocessing.OneHotEncoder(drop="first").fit(X.round()), **attributes)


def vocabulary(**words: int) -> Any:
    return spoiled(feature_extraction.text.CountVectorizer().fit(["a b", "aa bb"]), vocabulary_=words)


def svc(**attributes: Any) -> Any:
    return spoiled(svm.SVC().fit(X, Y), **attributes)


SVC = svm.SVC().fit(X, Y)
CENTRES = "it has cluster centres that do not fit its columns"
VECTORS = "it has support vectors that do not fit their counts or its columns"
NEIGHBOURS = "it has neighbours that do not fit its columns or classes"
SEARCH = "it has a search tree with rows or nodes that do not exist"
STAGES = "it has gradient boosting with stages that are not trees over its columns"
WORDS = "it has a vocabulary with columns that do not exist"
CATEGORIES = "it has an encoder with categories that do not exist"
SPOILED: dict[str, tuple[Callable[[], Any], str]] = {
    "narrow centres": (lambda: spoiled(cluster.KMeans(3, n_init=1).fit(X), cluster_centers_=np.zeros((3, 1))), CENTRES),
    "no centres": (lambda: spoiled(cluster.KMeans(3, n_init=1).fit(X), cluster_centers_=np.zeros((0, 4))), CENTRES),
    "very many threads": (lambda: spoiled(cluster.KMeans(3, n_init=1).fit(X), _n_threads=10**6), CENTRES),
    "narrow vectors": (lambda: svc(support_vectors_=SVC.support_vectors_[:, :1].copy()), VECTORS),
    "few vectors": (lambda: svc(support_vectors_=SVC.support_vectors_[:5].copy()), VECTORS),
    "vectors counted wrongly": (lambda: svc(_n_support=SVC._n_support * 1000), VECTORS),
    "negative counts": (lambda: svc(_n_support=np.array([-5, len(SVC.support_) + 5, 0], dtype=np.int32)), VECTORS),
    "few counts": (lambda: svc(_n_support=SVC._n_support[:1].copy()), VECTORS),
    "few coefficients": (lambda: svc(_dual_coef_=SVC._dual_coef_[:, :3].copy()), VECTORS),
    "few intercepts": (lambda: svc(_intercept_=SVC._intercept_[:1].copy()), VECTORS),
    "few sigmoids": (lambda: svc(_probA=np.zeros(1), _probB=np.zeros(1)), VECTORS),
    "more classes than vectors know": (lambda: svc(classes_=np.array(list("abcdefgh"))), VECTORS),
    "support vectors of regression": (
        lambda: spoiled(svm.SVR().fit(X, NUMBER), support_vectors_=np.zeros((2, 4))),
        VECTORS,
    ),
    "a kernel of rows": (
        lambda: svc(kernel="precomputed"),
        "it has support vectors of a kernel of its own, or of sparse rows",
    ),
    "sparse vectors": (lambda: svc(_sparse=True), "it has support vectors of a kernel of its own, or of sparse rows"),
    "narrow neighbours": (
        lambda: spoiled(neighbors.KNeighborsClassifier(algorithm="brute").fit(X, Y), _fit_X=X[:, :1].copy()),
        NEIGHBOURS,
    ),
    "a class beyond the last": (
        lambda: spoiled(neighbors.KNeighborsClassifier(algorithm="brute").fit(X, Y), _y=np.full(80, 10**6)),
        NEIGHBOURS,
    ),
    "a class before the first": (
        lambda: spoiled(neighbors.KNeighborsClassifier().fit(X, Y), _y=np.full(80, -1)),
        NEIGHBOURS,
    ),
    "few classes of rows": (
        lambda: spoiled(neighbors.KNeighborsClassifier().fit(X, Y), _y=np.zeros(3, int)),
        NEIGHBOURS,
    ),
    "rows of another tree": (
        lambda: spoiled(neighbors.KNeighborsClassifier().fit(X, Y), _fit_X=X[:5].copy()),
        NEIGHBOURS,
    ),
    "an own measure of distance": (
        lambda: spoiled(neighbors.KNeighborsClassifier().fit(X, Y), effective_metric_="mahalanobis"),
        "it has neighbours by a measure of distance of its own",
    ),
    "a node that begins before the rows": (lambda: search_tree(idx_start=-5), SEARCH),
    "a node that ends behind the rows": (lambda: search_tree(idx_end=10**6), SEARCH),
    "one node that has children": (lambda: search_tree(state_2=search_tree()._tree.__getstate__()[2][:1]), SEARCH),
    "rows that do not exist": (lambda: search_tree(state_1=np.full(80, 10**6)), SEARCH),
    "narrow bounds": (lambda: search_tree(state_3=np.zeros((2, 31, 1))), SEARCH),
    "more levels than nodes": (lambda: search_tree(state_5=20), SEARCH),
    "a stage of another width": (narrow_boosting, STAGES),
    "a stage that is no tree": (lambda: boosting(estimators_=np.array([[ridge()]], dtype=object)), STAGES),
    "more trees than columns of the first guess": (
        lambda: boosting(init_=ensemble.GradientBoostingClassifier(n_estimators=2).fit(X, TWO).init_),
        STAGES,
    ),
    "a first guess of its own": (
        lambda: boosting(init_=logistic().fit(X, Y)),
        "it has gradient boosting that begins with a model of its own",
    ),
    "an isolation tree of another width": (
        narrow_isolation,
        "it has an isolation forest whose trees do not fit its columns",
    ),
    "a category beyond the last": (lambda: one_hot(_n_features_outs=[2**29, 1, 1, 1]), CATEGORIES),
    "dropping what is not there": (lambda: one_hot(drop_idx_=np.array([10**6, 0, 0, 0], dtype=object)), CATEGORIES),
    "numbers in no order": (
        lambda: one_hot(categories_=[each[::-1].copy() for each in one_hot().categories_]),
        CATEGORIES,
    ),
    "rare ones elsewhere": (lambda: one_hot(_default_to_infrequent_mappings=[np.full(3, 10**6)] * 4), CATEGORIES),
    "a word beyond the last column": (lambda: vocabulary(a=0, b=10**6), WORDS),
    "a word before the first column": (lambda: vocabulary(a=0, b=-1), WORDS),
    "two words of one column": (lambda: vocabulary(a=0, b=0), WORDS),
    "no words": (vocabulary, WORDS),
    "a key of a record beyond the last column": (
        lambda: spoiled(feature_extraction.DictVectorizer().fit([{"a": 1.0}]), vocabulary_={"a": 9}),
        WORDS,
    ),
    "texts that are read from files": (
        lambda: feature_extraction.text.CountVectorizer(input="filename"),
        "it reads its rows from files",
    ),
}


@pytest.mark.parametrize("name", SPOILED)
def test_what_reads_behind_its_arrays_is_refused(folder, name):
    """By a file in which every type is allowed, also deep inside of other estimators."""
    build, sentence = SPOILED[name]

    assert refusal(build(), folder) == sentence
    assert refusal(make_pipeline("passthrough", build()), folder) == sentence
    bag = ensemble.BaggingClassifier(n_estimators=1).fit(X, Y)
    bag.estimators_ = [build()]
    assert refusal(bag, folder) == sentence


def test_a_random_generator_beyond_its_numbers(folder):
    """It would hand out what lies behind them."""
    model = ensemble.BaggingClassifier(n_estimators=1, random_state=np.random.RandomState(1)).fit(X, Y)
    state = model.random_state.get_state(legacy=False)
    state["state"]["pos"] = 10**6
    try:
        model.random_state.set_state(state)
    except ValueError:
        return  # NumPy looks itself
    assert refusal(model, folder) == "it has a random generator that would read beyond its numbers"


def test_what_is_not_fitted_is_left_to_scikit_learn(folder):
    """It predicts nothing."""
    for model in (svm.SVC(), neighbors.KNeighborsClassifier(), cluster.KMeans(), preprocessing.OneHotEncoder()):
        loaded(model, folder)
