"""What compiled code indexes without looking, checked in a loaded scikit-learn model: trees and forests here, other
estimators in `structure_checks`.

scikit-learn walks trees in C: child numbers and columns that do not exist make it read outside its memory. skops checks
types, not contents (https://github.com/scikit-learn/scikit-learn/pull/34558).
"""

from collections.abc import Callable, Collection, Iterator
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import IsolationForest
from sklearn.ensemble._forest import BaseForest
from sklearn.ensemble._gb import BaseGradientBoosting
from sklearn.ensemble._hist_gradient_boosting.gradient_boosting import BaseHistGradientBoosting
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.tree import BaseDecisionTree, DecisionTreeRegressor
from sklearn.tree._tree import Tree

from pipeline.governance.errors import Refused
from pipeline.serving.worker.load import not_allowed
from pipeline.serving.worker.structure_checks import check_part, columns_of

# Compiled prediction code whose fitted attributes nobody has written a check for; allowed by name only.
UNCHECKED = {
    "sklearn.cluster._birch.Birch",
    "sklearn.cluster._bisect_k_means.BisectingKMeans",
    "sklearn.decomposition._dict_learning._BaseSparseCoding",
    "sklearn.decomposition._lda.LatentDirichletAllocation",
    "sklearn.decomposition._nmf._BaseNMF",
    "sklearn.manifold._isomap.Isomap",
    "sklearn.manifold._locally_linear.LocallyLinearEmbedding",
    "sklearn.preprocessing._polynomial.SplineTransformer",
}
BAD_STAGES = "it has gradient boosting with stages that are not trees over its columns"
BAD_TREE = "it has a tree with nodes or columns that do not exist"


def check_structure(model: object, allowed_types: Collection[str]) -> None:
    """Raises Refused where compiled code would read or write outside its memory; what is checked is in each part."""
    for part in _parts(model):
        _check_replaced_methods(part)
        _check_known(part, allowed_types)
        for kind, check in CHECKS.items():
            if isinstance(part, kind):
                check(part)
        if issparse(part) and hasattr(part, "check_format"):
            part.check_format(full_check=True)  # raises ValueError for an index that is out of range
        check_part(part)


def _parts(model: object) -> Iterator[object]:
    """The model and everything that hangs on it, each once."""
    seen: set[int] = set()
    waiting = [model]
    while waiting:
        part = waiting.pop()
        if id(part) not in seen:
            seen.add(id(part))
            yield part
            waiting.extend(_held_by(part))


def _held_by(part: object) -> list[Any]:
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
    """What the file set on an object; nothing for classes, modules and arrays."""
    return {} if isinstance(part, type | ModuleType | np.ndarray) else getattr(part, "__dict__", {})


def _check_replaced_methods(part: object) -> None:
    """An attribute with a method's name would replace that method, and with it scikit-learn's own checks."""
    replaced = [name for name in _attributes(part) if callable(getattr(type(part), name, None))]
    if replaced:
        raise Refused(f"it replaces {type(part).__name__}.{replaced[0]}")


def _check_known(part: object, allowed_types: Collection[str]) -> None:
    bases = {_name(base) for base in type(part).__mro__}
    if bases & UNCHECKED and _name(type(part)) not in allowed_types:
        raise not_allowed([_name(type(part))])


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _check_tree(tree: Tree) -> None:
    leaf = tree.children_left == -1
    column = tree.feature[~leaf]
    inside = ((column >= 0) & (column < tree.n_features)).all() and (tree.children_right[leaf] == -1).all()
    if not inside or not _is_tree(tree.children_left, tree.children_right, leaf):
        raise Refused(BAD_TREE)
    # decision_path reserves memory by max_depth; compute_node_depths counts the root as 1.
    if tree.compute_node_depths().max() - 1 > tree.max_depth:
        raise Refused("it has a tree that is deeper than it says")


def _is_tree(left: np.ndarray, right: np.ndarray, leaf: np.ndarray) -> bool:
    """Every node but the first is the child of exactly one node before it: nothing out of range, no way round."""
    count = len(leaf)
    parents = np.flatnonzero(~leaf)
    left, right = left[parents].astype(np.int64), right[parents].astype(np.int64)
    if count == 0 or not ((left > parents) & (right > parents)).all():
        return False
    return np.array_equal(np.sort(np.concatenate([left, right])), np.arange(1, count))


def _check_decision_tree(estimator: BaseDecisionTree) -> None:
    """A tree believes its estimator, which looks at n_features_in_ only, about the width of the rows."""
    attributes = _attributes(estimator)
    tree = attributes.get("tree_")
    if tree is None:
        return  # not fitted: the pattern of a forest's members
    if type(tree) is not Tree or columns_of(attributes) != tree.n_features:
        raise Refused(BAD_TREE)


def _check_forest(forest: BaseForest) -> None:
    """A forest lets its first member look at the width of the rows, for all of them."""
    members = _attributes(forest).get("estimators_", [])
    if not all(isinstance(member, BaseDecisionTree) and "tree_" in _attributes(member) for member in members):
        raise Refused("it has a forest with members that are not trees")
    if len({columns_of(_attributes(member)) for member in members}) > 1:
        raise Refused(BAD_TREE)


def _check_boosting(model: BaseHistGradientBoosting) -> None:
    attributes = _attributes(model)
    if attributes.get("_preprocessor") is not None:
        raise Refused("histogram boosting with categories of its own is not loaded under this trust policy")
    columns = columns_of(attributes)
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


def _check_gradient_boosting(model: BaseGradientBoosting) -> None:
    """Each stage adds to as many columns as it has trees, in an array that the first guess makes."""
    attributes = _attributes(model)
    stages, columns = attributes.get("estimators_"), columns_of(attributes)
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


def _check_isolation(forest: IsolationForest) -> None:
    """Its trees do not look at the rows that it hands them: all columns, or those chosen for each tree."""
    attributes = _attributes(forest)
    columns, most = columns_of(attributes), attributes.get("_max_features")
    members, chosen = attributes.get("estimators_", []), attributes.get("estimators_features_", [])
    trees: list[Any] = [_attributes(member).get("tree_") for member in members if isinstance(member, BaseDecisionTree)]
    widths = {tree.n_features for tree in trees if type(tree) is Tree}
    fits = len(trees) == len(members) == len(chosen) and all(type(tree) is Tree for tree in trees)
    within = isinstance(most, int | np.integer) and 0 < most <= columns
    if not fits or not within or widths != {most} or any(len(each) != most for each in chosen):
        raise Refused("it has an isolation forest whose trees do not fit its columns")


CHECKS: dict[type, Callable[[Any], None]] = {
    Tree: _check_tree,
    BaseDecisionTree: _check_decision_tree,
    BaseForest: _check_forest,
    BaseHistGradientBoosting: _check_boosting,
    BaseGradientBoosting: _check_gradient_boosting,
    IsolationForest: _check_isolation,
}
