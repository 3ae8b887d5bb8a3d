"""A registry as plain MLflow fills it: `python tests/support/plain_models.py ADDRESS`, in a process of its own.

MLflow logs and registers at the address of the process. price: a regression, two versions. churn: two classes, two
versions. dose: LightGBM, three classes. bare: neither signature nor example. shop: a large whole number, a time, an
optional number and an optional list.
"""

import sys
import warnings
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from lightgbm import LGBMClassifier
from mlflow.models import ModelSignature, infer_signature
from mlflow.types.schema import Array, ColSpec, DataType, Schema
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

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
    _shop()
    forest = RandomForestClassifier(n_estimators=10, random_state=52).fit(inputs, churns)
    with mlflow.start_run():
        mlflow.sklearn.log_model(
            forest, name="model", registered_model_name="bare", skops_trusted_types=TREE, **PACKAGES
        )


def shop_rows() -> pd.DataFrame:
    """Two customers whose numbers are one as doubles, three days, and a bonus that may be missing."""
    days = pd.to_datetime(["2024-03-05", "2024-03-06", "2024-03-07"]).as_unit("ns")
    return pd.DataFrame({"customer": [2**53, 2**53 + 1] * 6, "when": [*days] * 4, "bonus": [1.0, np.nan, 3.0, 5.0] * 3})


def _shop() -> None:
    """100 for the second customer, 10 for each day of the month, 0, 1 or 2 for the bonus, -1 where it is missing."""
    inputs = shop_rows()
    prepared = ColumnTransformer(
        [
            ("customer", OneHotEncoder(drop="first"), ["customer"]),
            ("when", OrdinalEncoder(), ["when"]),
            ("bonus", OrdinalEncoder(encoded_missing_value=-1), ["bonus"]),
        ]
    )
    truth = (
        100.0 * (inputs["customer"] > 2**53)
        + 10 * inputs["when"].dt.day
        + inputs["bonus"].map({1: 0, 3: 1, 5: 2}).fillna(-1)
    )
    model = make_pipeline(prepared, LinearRegression()).fit(inputs, truth)
    columns = [ColSpec(DataType.long, "customer"), ColSpec(DataType.datetime, "when")]
    optional = [
        ColSpec(DataType.double, "bonus", required=False),
        ColSpec(Array(DataType.string), "tags", required=False),
    ]
    with mlflow.start_run():
        mlflow.sklearn.log_model(
            model,
            name="model",
            registered_model_name="shop",
            signature=ModelSignature(Schema([*columns, *optional])),
            input_example=inputs.head(3),
            **PACKAGES,
        )


def _log(name: str, model: Any, inputs: pd.DataFrame, metrics: dict[str, float] | None = None) -> None:
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
