"""What the tests of the loader rest on, in processes of their own: that hostile models are, and what skops imports."""

import json
import os
import subprocess
import sys
from pathlib import Path

from skops.io import _trusted_types

from support.hostile_models import HOSTILE, fitted, hostile, save

MLFLOW = """
import sys, warnings
warnings.simplefilter("ignore")
import mlflow.pyfunc, mlflow.sklearn
a1, a2, a3, a4, a5, a6, a7 = sys.argv[1:]
def attempt(load):
    try: load()
    except Exception as error: print(type(error), error, file=sys.stderr)
attempt(lambda: mlflow.pyfunc.load_model(a1))
attempt(lambda: mlflow.sklearn.load_model(a3).named_steps["write"].transform([[1.0]]))
attempt(lambda: mlflow.sklearn.load_model(a4))
attempt(lambda: mlflow.sklearn.load_model(a5))
attempt(lambda: mlflow.pyfunc.load_model(a6).get_raw_model().named_steps["write"].transform([[1.0]]))
for name in [name for name in sys.modules if name.split(".")[0] == "skops"]: del sys.modules[name]
attempt(lambda: mlflow.sklearn.load_model(a2))
"""


def test_the_hostile_models_are_real(tmp_path: Path) -> None:
    """MLflow's own loaders run the code of all that have some: our own are not tested with harmless ones."""
    clean = save(fitted("random_forest"), tmp_path / "clean")
    made = [hostile(build, clean, tmp_path / build.__name__) for build in HOSTILE]
    environment = {**os.environ, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "true"}
    command = [sys.executable, "-c", MLFLOW, *(str(folder) for folder, _ in made)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    ran = [build.__name__[:2] for build, (_, marker) in zip(HOSTILE, made, strict=True) if marker.exists()]
    assert ran == ["a1", "a2", "a3", "a4", "a5", "a6"], done.stderr


IMPORT = """
import json, sys
from pipeline.serving.worker.load import import_skops
import_skops()
from skops.io import _trusted_types
names = {name: value for name, value in vars(_trusted_types).items() if name.endswith("_NAMES")}
print(json.dumps([names, [name for name in ("dask", "pytest") if name in sys.modules]]))
"""


def test_the_import_of_skops_leaves_what_only_tests_need() -> None:
    """Neither Dask nor pytest is imported, and the types that skops trusts by itself are the same as with both."""
    done = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True)
    names, imported = json.loads(done.stdout)
    assert imported == []
    assert names == {name: value for name, value in vars(_trusted_types).items() if name.endswith("_NAMES")}
    assert names["SKLEARN_ESTIMATOR_TYPE_NAMES"]
