"""Model folders as MLflow writes them: clean ones, and the seven that try to run code or to crash the reader.

Each hostile one leaves a marker file if its code runs.
"""

import functools
import os
import pickle
import shutil
import signal
import sys
import textwrap
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import skops.io
import yaml
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

TREE = "sklearn.tree._tree.Tree"
PREDICTOR = "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"
ALLOWED = (TREE, PREDICTOR)
COLUMNS = ("Age", "Weight", "Gender", "CAEC")
ESTIMATORS: dict[str, Callable[[], Any]] = {
    "logistic_regression": lambda: LogisticRegression(max_iter=500),
    "random_forest": lambda: RandomForestClassifier(7, max_depth=6, class_weight="balanced", random_state=1),
    "extra_trees": lambda: ExtraTreesClassifier(7, class_weight="balanced", random_state=1),
    "hist_gradient_boosting": lambda: HistGradientBoostingClassifier(max_iter=7, random_state=1),
}


def rows() -> tuple[pd.DataFrame, pd.Series]:
    """120 survey rows with two numbers and two categories, and one of three classes for each."""
    random = np.random.default_rng(7)
    n = 120
    inputs = pd.DataFrame(
        {
            "Age": random.uniform(14, 60, n).round(1),
            "Weight": random.uniform(40, 150, n).round(1),
            "Gender": random.choice(["Female", "Male"], n),
            "CAEC": random.choice(["no", "Sometimes", "Always"], n),
        }
    )
    truth = pd.cut(
        inputs["Weight"], [0, 70, 100, 200], labels=["Normal_Weight", "Overweight_Level_I", "Obesity_Type_I"]
    )
    return inputs, truth.astype("str")


def fitted(name: str) -> Pipeline:
    inputs, truth = rows()
    columns = ColumnTransformer(
        [
            ("numbers", StandardScaler(), ["Age", "Weight"]),
            ("categories", OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["Gender", "CAEC"]),
        ]
    )
    return Pipeline([("columns", columns), ("model", ESTIMATORS[name]())]).fit(inputs, truth)


def save(model: Any, folder: Path, *, with_example: bool = True, columns: Sequence[str] = COLUMNS) -> Path:
    """As `mlflow.sklearn.save_model` with skops leaves it; the example has these columns."""
    import mlflow.sklearn

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own
        mlflow.sklearn.save_model(
            model,
            folder,
            serialization_format="skops",
            skops_trusted_types=list(ALLOWED),
            pip_requirements=[],
            input_example=rows()[0][list(columns)].head(1) if with_example else None,
        )
    return folder


def describe(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """MLmodel of the folder, changed in place."""
    path = folder / "MLmodel"
    description = yaml.safe_load(path.read_text())
    change(description)
    path.write_text(yaml.safe_dump(description))
    return folder


def replace_model(folder: Path, model: Any) -> Path:
    """The same folder with another object in its skops file."""
    (folder / "model.skops").write_bytes(skops.io.dumps(model))
    return folder


def end_by_signal(rows: Any) -> Any:
    """What compiled code does that reads outside its memory."""
    os.kill(os.getpid(), signal.SIGSEGV)
    return rows


def crashing(folder: Path) -> Path:
    """The same folder with a model that ends its process when it predicts; loaded only where producers are trusted."""
    inputs, truth = rows()
    columns = ColumnTransformer([("numbers", StandardScaler(), ["Age", "Weight"])])
    model = Pipeline([("end", FunctionTransformer()), ("columns", columns), ("model", LogisticRegression())])
    model.fit(inputs, truth)
    model.steps[0][1].func = end_by_signal
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # a worker does not know the tests
    (folder / "model.pkl").write_bytes(cloudpickle.dumps(model))
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    _names_pickle(folder, "model.pkl")
    return describe(folder, lambda described: _flavor(described, "sklearn", serialization_format="cloudpickle"))


class Payload:
    """Unpickling it makes the marker."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (self.marker,)


def a1_loader_with_code(folder: Path, marker: Path) -> None:
    """`loader_module` and `code`: the loader comes with the model."""
    source = f"""
        from pathlib import Path
        Path({str(marker)!r}).touch()
        def _load_pyfunc(path, *args): return None
    """
    _code(folder, "evil_loader.py", source)
    describe(folder, lambda described: _flavor(described, "python_function", loader_module="evil_loader", code="code"))


def a2_code_shadows_import(folder: Path, marker: Path) -> None:
    """A code folder whose module takes the place of one that loading imports."""
    _code(folder, "skops/__init__.py", f"from pathlib import Path\nPath({str(marker)!r}).touch()\n")
    describe(folder, lambda described: _flavor(described, "sklearn", code="code"))


def a3_function_with_own_trust(folder: Path, marker: Path) -> None:
    """A function as a step, with its types listed as trusted by the model's own file. The marker must end in .npy."""
    (folder / "model.skops").write_bytes(_writes(marker))
    types = skops.io.get_untrusted_types(file=folder / "model.skops")
    describe(folder, lambda described: _flavor(described, "sklearn", skops_trusted_types=types))


def a4_pickle_outside(folder: Path, marker: Path) -> None:
    """The path of the model leaves the folder."""
    (folder.parent / "outside.pkl").write_bytes(pickle.dumps(Payload(marker)))
    _names_pickle(folder, "../outside.pkl")


def a5_pickle_inside(folder: Path, marker: Path) -> None:
    """An ordinary pickle."""
    (folder / "model.pkl").write_bytes(pickle.dumps(Payload(marker)))
    _names_pickle(folder, "model.pkl")


def a6_two_files(folder: Path, marker: Path) -> None:
    """The flavor that was looked at is clean, the other one loads another file."""
    (folder / "other.skops").write_bytes(_writes(marker))
    types = skops.io.get_untrusted_types(file=folder / "other.skops")
    describe(folder, lambda described: _flavor(described, "sklearn", skops_trusted_types=types))
    describe(folder, lambda described: _flavor(described, "python_function", model_path="other.skops"))


def a7_hostile_tree(folder: Path, marker: Path) -> None:
    """A forest whose first node has children that do not exist: predicting reads outside the memory."""
    model = fitted("random_forest")
    change_nodes(model.named_steps["model"].estimators_[0].tree_, left_child=10**6, right_child=10**6)
    replace_model(folder, model)


HOSTILE = (
    a1_loader_with_code,
    a2_code_shadows_import,
    a3_function_with_own_trust,
    a4_pickle_outside,
    a5_pickle_inside,
    a6_two_files,
    a7_hostile_tree,
)


def hostile(build: Callable[[Path, Path], None], clean: Path, place: Path) -> tuple[Path, Path]:
    """The hostile folder, made from a copy of a clean one, and its marker."""
    folder, marker = place / "model", place / "ran.npy"
    place.mkdir(exist_ok=True)
    shutil.copytree(clean, folder)
    build(folder, marker)
    return folder, marker


def change_nodes(tree: Any, *, node: int = 0, **fields: Any) -> None:
    """Write into the nodes of a `sklearn.tree._tree.Tree`, which has no other way."""
    state = tree.__getstate__()
    nodes = state["nodes"].copy()
    for name, value in fields.items():
        nodes[name][node] = value
    tree.__setstate__({**state, "nodes": nodes})


def _writes(marker: Path) -> bytes:
    step = FunctionTransformer(functools.partial(np.save, str(marker)))
    return skops.io.dumps(Pipeline([("numbers", StandardScaler().fit(np.eye(3))), ("write", step)]))


def _names_pickle(folder: Path, path: str) -> None:
    def change(described: dict[str, Any]) -> None:
        _flavor(described, "sklearn", pickled_model=path, serialization_format="pickle")
        _flavor(described, "python_function", model_path=path)

    describe(folder, change)


def _flavor(description: dict[str, Any], flavor: str, **changes: Any) -> None:
    description["flavors"][flavor].update(changes)


def _code(folder: Path, name: str, source: str) -> None:
    path = folder / "code" / name
    path.parent.mkdir(parents=True)
    path.write_text(textwrap.dedent(source))
