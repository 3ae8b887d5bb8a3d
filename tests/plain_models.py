"""A registry as plain MLflow fills it: `python tests/plain_models.py ADDRESS`, in a process of its own.

MLflow logs and registers at the address of the process. price: a regression, two versions. churn: two classes, two
versions. dose: LightGBM, three classes. bare: neither signature nor example.
"""

import sys
import warnings

import mlflow
import numpy as np
import pandas as pd
from lightgbm import LGBMClassifier
from mlflow.models import infer_signature
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

ROWS = 200
TREE = ["numpy.dtype", "sklearn.tree._tree.Tree"]
PACKAGES = {"pip_requirements": ["scikit-learn", "lightgbm"]}  # else MLflow spends seconds on finding them


def rows() -> pd.DataFrame:
    random = np.random.default_rng(52)
    return pd.DataFrame({"rooms": random.uniform(1, 8, ROWS), "age": random.uniform(0, 90, ROWS).round(1)})


def fill(uri: str) -> None:
    """Register every model, each version with its own run."""
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("plain")
    inputs = rows()
    price = 30 * inputs["rooms"] - inputs["age"]
    churns = (price > price.median()).map({True: "yes", False: "no"}).to_numpy()
    dose = pd.cut(price, 3, labels=["low", "middle", "high"]).astype(str).to_numpy()
    for column in (["rooms"], ["rooms", "age"]):
        _log("price", LinearRegression().fit(inputs[column], price), inputs[column])
    for strength in (0.001, 1.0):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength)).fit(inputs, churns)
        _log("churn", model, inputs, metrics={"accuracy": float(model.score(inputs, churns))})
    boosted = LGBMClassifier(n_estimators=10, verbose=-1).fit(inputs, dose)
    with mlflow.start_run():
        signature = infer_signature(inputs, boosted.predict(inputs))
        mlflow.lightgbm.log_model(
            boosted,
            name="model",
            registered_model_name="dose",
            signature=signature,
            input_example=inputs.head(3),
            **PACKAGES,
        )
    forest = RandomForestClassifier(n_estimators=10, random_state=52).fit(inputs, churns)
    with mlflow.start_run():
        mlflow.sklearn.log_model(
            forest, name="model", registered_model_name="bare", skops_trusted_types=TREE, **PACKAGES
        )


def _log(name: str, model: object, inputs: pd.DataFrame, metrics: dict[str, float] | None = None) -> None:
    signature = infer_signature(inputs, model.predict(inputs))
    with mlflow.start_run():
        mlflow.log_metrics(metrics or {})
        mlflow.sklearn.log_model(
            model,
            name="model",
            registered_model_name=name,
            signature=signature,
            input_example=inputs.head(3),
            **PACKAGES,
        )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    fill(sys.argv[1])
