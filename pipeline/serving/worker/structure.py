"""What compiled code indexes without looking, checked in a loaded scikit-learn model before it predicts.

scikit-learn walks trees in C: child numbers and columns that do not exist make it read outside its memory. Other
estimators believe the shapes of their fitted arrays, and linear algebra the column numbers of sparse rows. skops checks
types, not contents (https://github.com/scikit-learn/scikit-learn/pull/34558). Every check was written after reading
what the compiled code takes on trust; an estimator with such code and without a check is in `allow_list.UNCHECKED`.
"""

from collections.abc import Callable, Collection, Iterator
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import IsolationForest
from sklearn.ensemble._forest import BaseForest
from sklearn.ensemble._gb import BaseGradientBoosting
from sklearn.ensemble._hist_gradient_boosting.gradient_boosting import BaseHistGradientBoosting
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer
from sklearn.metrics._dist_metrics import ChebyshevDistance64, EuclideanDistance64, ManhattanDistance64
from sklearn.neighbors import BallTree, KDTree
from sklearn.neighbors._base import NeighborsBase
from sklearn.preprocessing import OneHotEncoder
from sklearn.svm._base import BaseLibSVM
from sklearn.tree import BaseDecisionTree, DecisionTreeRegressor
from sklearn.tree._tree import Tree

from pipeline.governance.errors import Refused
from pipeline.serving.worker.allow_list import check_known

Attributes = dict[str, Any]
KERNELS = {"linear", "poly", "rbf", "sigmoid"}
METRICS = {"euclidean", "sqeuclidean", "manhattan", "cityblock", "chebyshev", "minkowski", "cosine"}
DISTANCES = {EuclideanDistance64, ManhattanDistance64, ChebyshevDistance64}  # the others hold arrays of their own
MOST_THREADS = 256
MERSENNE_WORDS = 624
BAD_CENTRES = "it has cluster centres that do not fit its columns"
BAD_VECTORS = "it has support vectors that do not fit their counts or its columns"
BAD_NEIGHBOURS = "it has neighbours that do not fit its columns or classes"
BAD_SEARCH_TREE = "it has a search tree with rows or nodes that do not exist"
BAD_VOCABULARY = "it has a vocabulary with columns that do not exist"
BAD_CATEGORIES = "it has an encoder with categories that do not exist"
BAD_STAGES = "it has gradient boosting with stages that are not trees over its columns"
BAD_TREE = "it has a tree with nodes or columns that do not exist"


def check_structure(model: object, allowed_types: Collection[str]) -> None:
    """Raises Refused where compiled code would read or write outside its memory; what is checked is in each part."""
    for part in _parts(model):
        _check_replaced_methods(part)
        check_known(part, allowed_types)
        if issparse(part) and hasattr(part, "check_format"):
            part.check_format(full_check=True)  # raises ValueError for an index that is out of range
        for kind, check in CHECKS.items():
            if isinstance(part, kind):
                check(part, getattr(part, "__dict__", {}))


def _parts(model: object) -> Iterator[object]:
    """The model and every object that it holds, each once."""
    seen: set[int] = set()
    waiting = [model]
    while waiting:
        part = waiting.pop()
        if id(part) not in seen:
            seen.add(id(part))
            yield part
            waiting.extend(_attached_to(part))


def _attached_to(part: object) -> list[Any]:
    if isinstance(part, np.ndarray):
        return part.ravel().tolist() if part.dtype == object else []
    if isinstance(part, list | tuple | set):
        return [*part, *_attributes(part).values()]
    if isinstance(part, dict):
        return [*part.values(), *_attributes(part).values()]
    if isinstance(part, partial):
        return [part.func, *part.args, *part.keywords.values()]
    return list(_attributes(part).values())


def _attributes(part: object) -> dict[str, Any]:
    """What the file has set on an object; nothing for classes, modules and arrays."""
    return {} if isinstance(part, type | ModuleType | np.ndarray) else getattr(part, "__dict__", {})


def _check_replaced_methods(part: object) -> None:
    """An attribute with a method's name would replace that method, and with it scikit-learn's own checks."""
    replaced = [name for name in _attributes(part) if callable(getattr(type(part), name, None))]
    if replaced:
        raise Refused(f"it replaces {type(part).__name__}.{replaced[0]}")


def _check_tree(tree: Tree, _: Attributes) -> None:
    leaf = tree.children_left == -1
    column = tree.feature[~leaf]
    inside = ((column >= 0) & (column < tree.n_features)).all() and (tree.children_right[leaf] == -1).all()
    if not inside or not _is_tree(tree.children_left, tree.children_right, leaf):
        raise Refused(BAD_TREE)
    # decision_path reserves memory by max_depth; compute_node_depths counts the root as 1.
    if tree.compute_node_depths().max() - 1 > tree.max_depth:
        raise Refused("it has a tree that is deeper than it says")


def _is_tree(left: np.ndarray, right: np.ndarray, leaf: np.ndarray) -> bool:
    """Whether every node but the first is the child of exactly one node before it: none out of range, no cycle."""
    count = len(leaf)
    parents = np.flatnonzero(~leaf)
    left, right = left[parents].astype(np.int64), right[parents].astype(np.int64)
    if count == 0 or not ((left > parents) & (right > parents)).all():
        return False
    return np.array_equal(np.sort(np.concatenate([left, right])), np.arange(1, count))


def _check_decision_tree(_: BaseDecisionTree, attributes: Attributes) -> None:
    """A tree believes its estimator, which looks at n_features_in_ only, about the width of the rows."""
    tree = attributes.get("tree_")
    if tree is None:
        return  # not fitted: the pattern of a forest's members
    if type(tree) is not Tree or _columns_of(attributes) != tree.n_features:
        raise Refused(BAD_TREE)


def _check_forest(_: BaseForest, attributes: Attributes) -> None:
    """A forest lets its first member look at the width of the rows, for all of them."""
    members = attributes.get("estimators_", [])
    if not all(isinstance(member, BaseDecisionTree) and "tree_" in _attributes(member) for member in members):
        raise Refused("it has a forest with members that are not trees")
    if len({_columns_of(_attributes(member)) for member in members}) > 1:
        raise Refused(BAD_TREE)


def _check_boosting(_: BaseHistGradientBoosting, attributes: Attributes) -> None:
    if attributes.get("_preprocessor") is not None:
        raise Refused("histogram boosting with categories of its own is not loaded under this trust policy")
    columns = _columns_of(attributes)
    for stage in attributes.get("_predictors", []):
        for predictor in stage:
            if type(predictor) is not TreePredictor:
                raise Refused("it has histogram boosting with stages that are not trees")
            _check_predictor(predictor.nodes, columns)


def _check_predictor(nodes: np.ndarray, columns: int) -> None:
    """Without categories of the model's own there is no table of categories to look up: no node may ask for one."""
    leaf = nodes["is_leaf"] != 0
    column = nodes["feature_idx"][~leaf]
    inside = ((column >= 0) & (column < columns)).all() and not nodes["is_categorical"].any()
    if not inside or not _is_tree(nodes["left"], nodes["right"], leaf):
        raise Refused(BAD_TREE)


def _check_gradient_boosting(model: BaseGradientBoosting, attributes: Attributes) -> None:
    """Each stage adds to as many columns as it has trees, in an array that the first guess makes."""
    stages, columns = attributes.get("estimators_"), _columns_of(attributes)
    if not isinstance(stages, np.ndarray) or stages.ndim != 2 or not stages.size:  # noqa: PLR2004
        raise Refused(BAD_STAGES)
    for member in stages.ravel():
        tree: Any = _attributes(member).get("tree_")
        if type(member) is not DecisionTreeRegressor or type(tree) is not Tree or tree.n_features != columns:
            raise Refused(BAD_STAGES)
        if tree.value.shape[1:] != (1, 1):
            raise Refused(BAD_STAGES)
    guess = attributes.get("init_")
    if guess != "zero" and type(guess) not in {DummyClassifier, DummyRegressor}:
        raise Refused("it has gradient boosting that begins with a model of its own")
    if model._raw_predict_init(np.zeros((2, columns), dtype=np.float32)).shape != (2, stages.shape[1]):  # noqa: SLF001
        raise Refused(BAD_STAGES)


def _check_isolation(_: IsolationForest, attributes: Attributes) -> None:
    """Its trees do not look at the rows that it hands them: all columns, or those chosen for each tree."""
    columns, most = _columns_of(attributes), attributes.get("_max_features")
    members, chosen = attributes.get("estimators_", []), attributes.get("estimators_features_", [])
    trees: list[Any] = [_attributes(member).get("tree_") for member in members if isinstance(member, BaseDecisionTree)]
    widths = {tree.n_features for tree in trees if type(tree) is Tree}
    fits = len(trees) == len(members) == len(chosen) and all(type(tree) is Tree for tree in trees)
    within = isinstance(most, int | np.integer) and 0 < most <= columns
    if not fits or not within or widths != {most} or any(len(each) != most for each in chosen):
        raise Refused("it has an isolation forest whose trees do not fit its columns")


def _columns_of(attributes: Attributes) -> int:
    """scikit-learn skips its check of the width where n_features_in_ is missing. Raises Refused."""
    columns = attributes.get("n_features_in_")
    if type(columns) is not int:
        raise Refused("it does not say how many columns it takes")
    return columns


def _is_array(value: object, shape: tuple[int, ...], kinds: str = "f") -> bool:
    return isinstance(value, np.ndarray) and value.shape == shape and value.dtype.kind in kinds


def _is_fitted(attributes: Attributes, name: str) -> bool:
    """Whether it is fitted. What is not cannot predict; scikit-learn says so itself."""
    return name in attributes


def _check_k_means(_: object, attributes: Attributes) -> None:
    """The centres are read as wide as the rows are."""
    if not _is_fitted(attributes, "cluster_centers_"):
        return
    centres, threads = attributes["cluster_centers_"], attributes.get("_n_threads")
    if not isinstance(centres, np.ndarray) or not _is_array(centres, (len(centres), _columns_of(attributes))):
        raise Refused(BAD_CENTRES)
    if not len(centres) or type(threads) is not int or not 0 < threads <= MOST_THREADS:
        raise Refused(BAD_CENTRES)


def _check_support_vectors(_: object, attributes: Attributes) -> None:
    """As many vectors as the classes have together, and a coefficient for each pair: libsvm multiplies counts."""
    if not _is_fitted(attributes, "support_"):
        return
    if attributes.get("kernel") not in KERNELS or attributes.get("_sparse") is not False:
        raise Refused("it has support vectors of a kernel of its own, or of sparse rows")
    classes = attributes.get("classes_")
    count = 2 if classes is None else len(classes)
    vectors, pairs = attributes["support_"], count * (count - 1) // 2
    if not isinstance(vectors, np.ndarray) or count < 2:  # noqa: PLR2004
        raise Refused(BAD_VECTORS)
    counts: Any = attributes.get("_n_support")
    fits = (
        _is_array(vectors, (len(vectors),), "i"),
        _is_array(attributes.get("support_vectors_"), (len(vectors), _columns_of(attributes))),
        _is_array(attributes.get("_dual_coef_"), (count - 1, len(vectors))),
        _is_array(attributes.get("_intercept_"), (pairs,)),
        _is_array(counts, (count,), "i") and (counts >= 0).all(),
        # Regression and outlier detection count their vectors twice.
        _is_array(counts, (count,), "i") and (counts[0] if classes is None else counts.sum()) == len(vectors),
        all(_is_array(attributes.get(name), (size,)) for name, size in _sigmoids(attributes, pairs)),
    )
    if not all(fits):
        raise Refused(BAD_VECTORS)


def _sigmoids(attributes: Attributes, pairs: int) -> list[tuple[str, int]]:
    """Checks the parameters of probabilities, which not every model has."""
    fitted = attributes.get("_probA")
    size = 0 if isinstance(fitted, np.ndarray) and not fitted.size else pairs
    return [("_probA", size), ("_probB", size)]


def _check_neighbours(part: object, attributes: Attributes) -> None:
    """Rows as wide as those that are asked about, and classes that are counted by their position."""
    if not _is_fitted(attributes, "_fit_X"):
        return
    metric, params = attributes.get("effective_metric_"), attributes.get("effective_metric_params_") or {}
    if metric not in METRICS or not set(params) <= {"p"}:
        raise Refused("it has neighbours by a measure of distance of its own")
    rows, tree = attributes["_fit_X"], attributes.get("_tree")
    if not (issparse(rows) or isinstance(rows, np.ndarray)) or rows.shape != (rows.shape[0], _columns_of(attributes)):
        raise Refused(BAD_NEIGHBOURS)
    if rows.dtype.kind not in "fiub" or (tree is not None and np.shape(tree.data) != rows.shape):
        raise Refused(BAD_NEIGHBOURS)
    if attributes.get("_fit_method") not in {"brute", "kd_tree", "ball_tree"}:
        raise Refused(BAD_NEIGHBOURS)
    if "classes_" in attributes and hasattr(part, "predict_proba"):
        _check_labels(attributes, rows.shape[0])


def _check_labels(attributes: Attributes, rows: int) -> None:
    labels, classes = attributes.get("_y"), attributes["classes_"]
    several = classes if isinstance(classes, list) else [classes]
    if not isinstance(labels, np.ndarray) or labels.dtype.kind not in "iu" or labels.shape[:1] != (rows,):
        raise Refused(BAD_NEIGHBOURS)
    columns = labels.reshape(rows, -1)
    if columns.shape[1] != len(several):
        raise Refused(BAD_NEIGHBOURS)
    for column, known in zip(columns.T, several, strict=True):
        if column.min() < 0 or column.max() >= len(known):
            raise Refused(BAD_NEIGHBOURS)


def _check_search_tree(tree: Any, _: Attributes) -> None:  # noqa: ANN401 (a KDTree or a BallTree)
    """Nodes lie as in a heap: the children of node i are 2 i + 1 and 2 i + 2, each a range of rows."""
    data, positions, nodes, bounds, _leaf, levels, count, *_others, metric, weights = tree.__getstate__()
    rows, columns = data.shape
    layers = 2 if isinstance(tree, KDTree) else 1
    position = np.arange(len(nodes))
    inner = nodes["is_leaf"] == 0
    fits = (
        rows > 0,
        type(metric) in DISTANCES,
        weights is None,
        len(nodes) == count == 2**levels - 1,
        bounds.shape == (layers, len(nodes), columns),
        np.array_equal(np.sort(positions), np.arange(rows)),
        (nodes["idx_start"] >= 0).all() and (nodes["idx_end"] <= rows).all(),
        (nodes["idx_start"] <= nodes["idx_end"]).all(),
        (2 * position[inner] + 2 < len(nodes)).all(),
    )
    if not all(fits):
        raise Refused(BAD_SEARCH_TREE)


def _check_vocabulary(_: object, attributes: Attributes) -> None:
    """Its numbers become columns of sparse rows, which linear algebra believes; a file's name would be read."""
    if attributes.get("input", "content") != "content":
        raise Refused("it reads its rows from files")
    words = attributes.get("vocabulary_")
    if words is None:
        return
    positions = list(words.values()) if isinstance(words, dict) else []
    whole = all(isinstance(position, int | np.integer) and not isinstance(position, bool) for position in positions)
    if not positions or not whole or sorted(positions) != list(range(len(positions))):
        raise Refused(BAD_VOCABULARY)


def _check_one_hot(encoder: OneHotEncoder, attributes: Attributes) -> None:
    """As `_check_vocabulary`: each category has a column, in the block of its own column."""
    if not _is_fitted(attributes, "categories_"):
        return
    categories = attributes["categories_"]
    sizes = [len(each) for each in categories]
    grouped = attributes.get("_default_to_infrequent_mappings") or [None] * len(sizes)
    dropped = attributes.get("drop_idx_")
    drops = [None] * len(sizes) if dropped is None else list(dropped)
    if not len(sizes) == len(grouped) == len(drops) == _columns_of(attributes) or not all(map(_is_sorted, categories)):
        raise Refused(BAD_CATEGORIES)
    outputs = []
    for size, groups, drop in zip(sizes, grouped, drops, strict=True):
        codes = _codes(size, groups)
        if drop is not None and not (isinstance(drop, int | np.integer) and 0 <= drop < codes):
            raise Refused(BAD_CATEGORIES)
        outputs.append(codes - (drop is not None))
    if list(attributes.get("_n_features_outs", [])) != outputs or encoder._n_features_outs != outputs:  # noqa: SLF001
        raise Refused(BAD_CATEGORIES)


def _codes(size: int, groups: np.ndarray | None) -> int:
    """The number of codes of a column, after rare categories were put together."""
    if groups is None:
        return size
    if not _is_array(groups, (size,), "iu") or groups.min() < 0 or groups.max() >= size:
        raise Refused(BAD_CATEGORIES)
    return int(groups.max()) + 1


def _is_sorted(categories: Any) -> bool:  # noqa: ANN401 (what the file has)
    """Whether numbers are in order, because they are found by bisection; text and objects are found by name."""
    if not isinstance(categories, np.ndarray) or categories.ndim != 1:
        return False
    if categories.dtype.kind in "OUS":
        return True
    known = categories[~np.isnan(categories)] if categories.dtype.kind == "f" else categories
    missing = len(categories) - len(known)
    return bool((known[1:] > known[:-1]).all()) and missing <= 1 and not (missing and not np.isnan(categories[-1]))


def _check_random(state: np.random.RandomState, _: Attributes) -> None:
    about = state.get_state(legacy=False)
    if not isinstance(about, dict) or not 0 <= about["state"].get("pos", 0) <= MERSENNE_WORDS:
        raise Refused("it has a random generator that would read beyond its numbers")


CHECKS: dict[Any, Callable[[Any, Attributes], None]] = {
    Tree: _check_tree,
    BaseDecisionTree: _check_decision_tree,
    BaseForest: _check_forest,
    BaseHistGradientBoosting: _check_boosting,
    BaseGradientBoosting: _check_gradient_boosting,
    IsolationForest: _check_isolation,
    (KMeans, MiniBatchKMeans): _check_k_means,
    BaseLibSVM: _check_support_vectors,
    NeighborsBase: _check_neighbours,
    (KDTree, BallTree): _check_search_tree,
    (CountVectorizer, HashingVectorizer, DictVectorizer): _check_vocabulary,
    OneHotEncoder: _check_one_hot,
    np.random.RandomState: _check_random,
}
