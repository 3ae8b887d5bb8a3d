"""A fitted classifier of scikit-learn as code of faster libraries, made in memory from the object that was loaded.

Preparation, linear models and forests become one ONNX graph in double (skl2onnx, run by onnxruntime), in which a forest
compares what scikit-learn compares: prepared values rounded to single precision, with thresholds in double. In single
precision throughout, the scaler would round rows to the other side of a split. Histogram boosting, which compares
doubles, is walked by treelite. Whether the result is the same is not decided here, see compare.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, PolynomialFeatures, StandardScaler

from pipeline.governance.text import visible
from pipeline.serving.compiled.code import MATRIX, Code

FORESTS = (RandomForestClassifier, ExtraTreesClassifier)
BOOSTING = (HistGradientBoostingClassifier,)
LINEAR = (LogisticRegression,)
PREPARATION = (Pipeline, ColumnTransformer, StandardScaler, OneHotEncoder, PolynomialFeatures, FunctionTransformer)
FUNCTIONS = {None: "Identity", np.reciprocal: "Reciprocal"}  # of FunctionTransformer, with ONNX's operators
OPSET = {"": 18, "ai.onnx.ml": 3}
MOST_COLUMNS = 200
MOST_PRODUCTS = 200
TREES, SUMS = "TreeEnsembleClassifier", "MatMul"  # ONNX's operators of forests and of linear models
INT64 = 7  # ONNX's number of the type
MOST_NODES = 5_000_000  # of all trees
MOST_NAME = 80


class CannotConvert(Exception):
    """There is no compiled form of this model; the message ends a sentence that begins with it."""


def convert(model: Any, sample: pd.DataFrame) -> Code:  # noqa: ANN401 (whatever was loaded)
    """The compiled form of a Pipeline that ends in a classifier. sample: rows in the columns that it is given.

    Raises CannotConvert.
    """
    steps = model.steps if type(model) is Pipeline else [("model", model)]
    estimator = steps[-1][1]
    if type(estimator) not in (*FORESTS, *BOOSTING, *LINEAR):
        raise CannotConvert(f"cannot be converted ({type(estimator).__name__} is no kind that is)")
    if type(estimator) in FORESTS and estimator.n_outputs_ != 1:
        raise CannotConvert("cannot be converted (it predicts several targets)")
    for part in [step for _, step in steps[:-1]]:
        _check_preparation(part)
    texts = _texts(model, sample)
    names = tuple(str(name) for name in sample.columns)
    joined = type(steps[0][1]) is not ColumnTransformer
    if nodes_of(estimator) > MOST_NODES:
        raise CannotConvert(f"cannot be converted (its trees have more than {MOST_NODES:,} nodes)")
    try:
        if type(estimator) not in BOOSTING:
            return Code(names, texts, joined, _graph(model, names, None if joined else texts))
        graph = _graph(model[:-1], names, None if joined else texts) if len(steps) > 1 else b""
        return Code(names, texts, joined, graph, _trees(estimator))
    except (CannotConvert, ImportError, MemoryError):
        raise
    except Exception as error:
        raise CannotConvert(f"cannot be converted ({visible(str(error).partition(chr(10))[0], most=200)})") from error


def _check_preparation(part: Any) -> None:  # noqa: ANN401
    """Raises CannotConvert for a step of which nobody has looked at how it is converted."""
    if part is None or part in ("passthrough", "drop"):
        return
    if type(part) not in PREPARATION:
        raise CannotConvert(f"cannot be converted ({type(part).__name__} is no step that is)")
    if type(part) is PolynomialFeatures and (part.include_bias or part.n_output_features_ > MOST_PRODUCTS):
        raise CannotConvert(f"cannot be converted (PolynomialFeatures with a bias or over {MOST_PRODUCTS} products)")
    # skl2onnx cuts numbers to whole ones: 1.5 would be taken for the category 1, infinity for one that is unknown.
    if type(part) is OneHotEncoder and not all(isinstance(each, str) for known in part.categories_ for each in known):
        raise CannotConvert("cannot be converted (OneHotEncoder of something else than text)")
    if type(part) is FunctionTransformer and _operator(part) is None:
        raise CannotConvert("cannot be converted (FunctionTransformer with another function than numpy.reciprocal)")
    for each in _inner(part):
        _check_preparation(each)


def _inner(part: Any) -> list[Any]:  # noqa: ANN401
    if type(part) is Pipeline:
        return [step for _, step in part.steps]
    return [step for _, step, _ in part.transformers_] if type(part) is ColumnTransformer else []


def _operator(part: FunctionTransformer) -> str | None:
    return next((name for function, name in FUNCTIONS.items() if part.func is function), None)


def _texts(model: Any, sample: pd.DataFrame) -> tuple[bool, ...]:  # noqa: ANN401
    """Which columns hold text. Raises CannotConvert for other columns than double, whole numbers and text."""
    fitted = [str(name) for name in getattr(model, "feature_names_in_", ())]
    if len(sample.columns) > MOST_COLUMNS:
        raise CannotConvert(f"cannot be converted (it takes more than {MOST_COLUMNS} columns)")
    if fitted != [str(name) for name in sample.columns]:
        raise CannotConvert("cannot be converted (it does not name the columns that it takes)")
    found = []
    for name, column in sample.items():
        text = pd.api.types.is_string_dtype(column)
        if not text and column.dtype not in (np.float64, np.int64, np.int32):
            shown = visible(str(name), most=MOST_NAME)
            raise CannotConvert(f"cannot be converted (the column {shown} holds {column.dtype}, not double or text)")
        found.append(text)
    return tuple(found)


def _graph(model: Any, names: Sequence[str], texts: Sequence[bool] | None) -> bytes:  # noqa: ANN401
    """An ONNX graph of the model or of its preparation. texts: None where it takes all columns side by side."""
    from skl2onnx import convert_sklearn, update_registered_converter
    from skl2onnx.common.data_types import DoubleTensorType, StringTensorType

    for kind, ours in ((FunctionTransformer, _convert_function), (PolynomialFeatures, _convert_products)):
        update_registered_converter(kind, f"Signoff{kind.__name__}", _set_shape, ours, overwrite=True)
    logging.getLogger("skl2onnx").setLevel(logging.ERROR)
    kinds = [(MATRIX, DoubleTensorType([None, len(names)]))]
    if texts is not None:
        types = (StringTensorType if text else DoubleTensorType for text in texts)
        kinds = [(name, kind([None, 1])) for name, kind in zip(names, types, strict=True)]
    steps = model.steps if type(model) is Pipeline else [("model", model)]
    last = steps[-1][1]
    plain = {id(last): {"zipmap": False}} if type(last) in (*LINEAR, *FORESTS) else None
    whole = Pipeline([*steps[:-1], *_rounding(last), steps[-1]])
    found = convert_sklearn(whole, initial_types=kinds, options=plain, target_opset=OPSET)
    _set_outputs(found.graph)
    return bytes(found.SerializeToString())


def _rounding(last: Any) -> list[tuple[str, Any]]:  # noqa: ANN401
    """Steps before a forest that round to single precision and go on in double."""
    from skl2onnx.sklapi import CastTransformer

    kinds = (np.float32, np.float64) if type(last) in FORESTS else ()
    return [(f"as_{kind.__name__}", CastTransformer(dtype=kind)) for kind in kinds]


def _set_outputs(graph: Any) -> None:  # noqa: ANN401 (ONNX' own)
    """Leaves out the label, and adds the values that must be finite for the original to answer as this does.

    They are what the classifier compares and a linear one's sums, of which scikit-learn refuses the first and a
    probability hides both; and the prepared values that a reciprocal takes, because it makes 0 of infinity.
    """
    from onnx import TensorProto
    from onnx.helper import make_tensor_value_info

    kept = [each for each in graph.output if each.name != "label"]
    del graph.output[:]
    graph.output.extend(kept)
    watched = [node.input[0] for node in graph.node if node.op_type in (TREES, SUMS, "Reciprocal")]
    watched += [node.output[0] for node in graph.node if node.op_type == SUMS]
    if any(node.op_type == TREES for node in graph.node):
        graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT  # skl2onnx says double of extra trees
    given = {each.name for each in (*graph.input, *kept)}
    for name in dict.fromkeys(each for each in watched if each not in given):
        graph.output.append(make_tensor_value_info(name, TensorProto.DOUBLE, None))


def _set_shape(operator: Any) -> None:  # noqa: ANN401 (an Operator of skl2onnx)
    """The converters below give doubles: as many columns as come in, or as there are products."""
    from skl2onnx.common.data_types import DoubleTensorType

    given = sum(each.type.shape[1] for each in operator.inputs)
    operator.outputs[0].type = DoubleTensorType([None, getattr(operator.raw_operator, "n_output_features_", given)])


def _convert_function(scope: Any, operator: Any, container: Any) -> None:  # noqa: ANN401 (skl2onnx')
    """FunctionTransformer, which skl2onnx converts only where it has no function."""
    graph = _Graph(scope, container)
    graph.add(str(_operator(operator.raw_operator)), [graph.joined(operator)], operator.outputs[0].full_name)


def _convert_products(scope: Any, operator: Any, container: Any) -> None:  # noqa: ANN401 (skl2onnx')
    """PolynomialFeatures, multiplied from the last factor to the first, as scikit-learn does it.

    skl2onnx multiplies from the first to the last, which differs in the last bit, and with it at a split.
    """
    graph, found = _Graph(scope, container), operator.raw_operator
    degrees = found._min_degree, found._max_degree  # noqa: SLF001 (nowhere public)
    given, products = graph.joined(operator), []
    combinations = found._combinations(found.n_features_in_, *degrees, found.interaction_only, False)  # noqa: SLF001
    for factors in combinations:
        *others, product = [graph.column(given, position) for position in factors]
        for other in reversed(others):
            product = graph.add("Mul", [product, other])
        products.append(product)
    graph.add("Concat", products, operator.outputs[0].full_name, axis=1)


@dataclass(frozen=True)
class _Graph:
    """The ONNX graph that skl2onnx is building."""

    scope: Any
    container: Any

    def add(self, kind: str, inputs: list[str], output: str = "", **more: object) -> str:
        """A node of this kind; gives the name of its output."""
        output = output or self.scope.get_unique_variable_name(kind.lower())
        self.container.add_node(kind, inputs, output, name=self.scope.get_unique_operator_name(kind), **more)
        return output

    def joined(self, operator: Any) -> str:  # noqa: ANN401
        """The inputs of an operator side by side."""
        names = [each.full_name for each in operator.inputs]
        return names[0] if len(names) == 1 else self.add("Concat", names, axis=1)

    def column(self, given: str, position: int) -> str:
        """One column, still with two dimensions."""
        index = self.scope.get_unique_variable_name("position")
        self.container.add_initializer(index, INT64, [1], [position])
        return self.add("Gather", [given, index], axis=1)


def _trees(estimator: Any) -> bytes:  # noqa: ANN401
    import treelite

    return bytes(treelite.sklearn.import_model(estimator).serialize_bytes())


def nodes_of(estimator: Any) -> int:  # noqa: ANN401
    """The nodes of all trees; 0 of a model without any."""
    if type(estimator) in FORESTS:
        return sum(tree.tree_.node_count for tree in estimator.estimators_)
    stages = estimator._predictors if type(estimator) in BOOSTING else []  # noqa: SLF001 (nowhere public)
    return sum(len(tree.nodes) for stage in stages for tree in stage)
