"""Makes a registry and a ledger as version 0.1 left them: `PYTHONPATH=CHECKOUT python make.py FOLDER`.

CHECKOUT is commit f52a68c, the last one of version 0.1; a later one writes the files of its own time. FOLDER is an
empty folder to work in. What is kept lies beside this file: `mlflow.sql`, `ledger.sql`, `ledger.checkpoints.jsonl`,
`params.yaml`, and the files of both versions in `models.zip`. In the SQL text FOLDER stands for the folder, whose
files are laid out again wherever a test restores them.

Version 1 is trained by Signoff, version 2 is logged by a client of MLflow. Both are small so that their files are: four
columns, two classes, 120 rows.
"""

import csv
import os
import random
import sqlite3
import subprocess
import sys
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import mlflow.sklearn
import pandas as pd
import yaml
from mlflow import MlflowClient
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression

import pipeline

KEPT = Path(__file__).parent
CHECKOUT = Path(pipeline.__file__).parents[1]
MODEL = "obesity_classifier"
REASON = "Better than the champion in every class."
CLASSES = ("Normal_Weight", "Overweight_Level_I")


def write_settings(folder: Path) -> None:
    params: dict[str, Any] = yaml.safe_load((CHECKOUT / "params.yaml").read_text(encoding="utf-8"))
    columns = params["schema"]["columns"]
    params["schema"]["columns"] = {name: columns[name] for name in ("Age", "Height", "Weight", "FAVC")}
    params["schema"]["target"]["classes"] = list(CLASSES)
    params["candidates"] = {"plain": {"estimator": "logistic_regression", "parameters": {"max_iter": 500}}}
    params["data"]["source"] = "data.csv"
    params["evaluation"] |= {"bootstrap_samples": 100, "cross_validation_folds": 2}
    params["policy"]["may_change"] = {}
    for move in params["policy"]["moves"].values():
        if "accuracy" in move["gates"]:
            move["gates"]["accuracy"]["minimum"] = 0.5
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")


def write_data(folder: Path) -> None:
    chance = random.Random(1)
    with (folder / "data.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["Age", "Height", "Weight", "FAVC", "NObeyesdad"])
        for _ in range(120):
            height, weight = round(chance.uniform(1.5, 1.95), 2), round(chance.uniform(50, 110), 1)
            heavy = weight / height**2 + chance.gauss(0, 1) >= 25
            table.writerow([chance.randint(15, 60), height, weight, chance.choice(["no", "yes"]), CLASSES[heavy]])


def log_another(folder: Path, address: str) -> None:
    """Version 2: two columns, no documents of ours."""
    data = pd.read_csv(folder / "data.csv")
    inputs = data[["Height", "Weight"]]
    model = LogisticRegression().fit(inputs, data["NObeyesdad"])
    mlflow.set_tracking_uri(address)
    experiment = mlflow.create_experiment("notebook", artifact_location=str(folder / "artifacts" / "notebook"))
    with mlflow.start_run(experiment_id=experiment, tags={"mlflow.user": "ada", "mlflow.source.name": "notebook"}):
        mlflow.log_metric("accuracy", model.score(inputs, data["NObeyesdad"]))
        mlflow.sklearn.log_model(
            model,
            name="model",
            serialization_format="skops",
            signature=infer_signature(inputs, model.predict(inputs)),
            input_example=inputs.head(2),
            pip_requirements=["scikit-learn"],
            registered_model_name=MODEL,
        )


def story(folder: Path) -> None:
    """Training, moves, refusals, and changes by another way that were adopted and taken back."""
    address = f"sqlite:///{folder}/mlflow.db"
    environment = os.environ | {
        "PYTHONPATH": str(CHECKOUT),
        "MLFLOW_TRACKING_URI": address,
        "SIGNOFF_LEDGER_URL": f"sqlite:///{folder}/ledger.db",
        "SIGNOFF_PARAMS": str(folder / "params.yaml"),
        "SIGNOFF_ACTOR": "ada",
    }

    def signoff(*arguments: Any, code: int = 0) -> None:
        command = [sys.executable, "-m", "pipeline", *map(str, arguments)]
        done = subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True, text=True)
        assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)

    signoff("train", "--data", "data.csv")
    log_another(folder, address)
    signoff("promote", MODEL, 1, "Production", "--reason", REASON, "--accept-warnings")
    signoff("promote", MODEL, 1, "Archived", "--reason", REASON, code=3)
    signoff("promote", MODEL, 2, "Staging", "--reason", REASON, "--accept-warnings")
    signoff("promote", MODEL, 2, "Production", "--reason", REASON, "--accept-warnings")
    signoff("rollback", MODEL, "--reason", "Version 2 was slower than it looked.", "--accept-warnings")
    signoff("alias", MODEL, "challenger", 2, "--reason", REASON, "--expect", "another state", code=4)
    signoff("alias", MODEL, "challenger", 2, "--reason", REASON, "--key", "once")
    client = MlflowClient(address, address)
    client.set_registered_model_alias(MODEL, "nightly", "2")
    signoff("reconcile", MODEL)
    signoff("reconcile", MODEL, "--adopt", "--reason", "The nightly job sets it.")
    client.set_registered_model_alias(MODEL, "champion", "2")
    signoff("reconcile", MODEL)
    signoff("alias", MODEL, "champion", 2, "--reason", REASON, "--accept-warnings", code=4)
    signoff("reconcile", MODEL, "--revert", "--reason", "Nobody knows who set it.")
    signoff("verify")


def keep(folder: Path) -> None:
    for name in ("mlflow", "ledger"):
        with closing(sqlite3.connect(folder / f"{name}.db")) as database:
            text = "\n".join(database.iterdump()) + "\n"
        text = text.replace(str(folder), "FOLDER")  # no event holds it, whose body is hashed as it is
        (KEPT / f"{name}.sql").write_text(text, encoding="utf-8")
    for name in ("ledger.checkpoints.jsonl", "params.yaml"):
        (KEPT / name).write_bytes((folder / name).read_bytes())
    with zipfile.ZipFile(KEPT / "models.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for file in sorted((folder / "artifacts").rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder))


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    write_settings(folder)
    write_data(folder)
    story(folder)
    keep(folder)


if __name__ == "__main__":
    main()
