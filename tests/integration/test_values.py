"""Optional columns, times, large whole numbers and numbered columns through every door, by a real worker."""

import datetime as dt
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow.sklearn
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlflow.models import ModelSignature, infer_signature
from mlflow.types.schema import ColSpec, Schema
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from pipeline.governance.errors import Refused
from pipeline.serving.batch.batch import Batch
from pipeline.serving.batch.run import ScoringOptions
from pipeline.serving.gate_checks import SubprocessSmoke
from pipeline.serving.scorer import Scorer
from pipeline.serving.targets import input_schema
from pipeline.serving.trust import LoadingPolicy
from pipeline.serving.worker.client import Worker
from pipeline.validation.columns import Input, check_many
from pipeline.validation.rows import InvalidRows
from support.desks import build_desk
from support.hostile_models import TREE
from support.in_memory import InMemoryRegistry

ALLOWED = (TREE, "numpy.dtype")
POLICY = LoadingPolicy("allow_list", ALLOWED, kept_models=3, predict_seconds=60, explain_seconds=60)
FIRST, SECOND = 2**53, 2**53 + 1  # the same as doubles
DAYS = pd.to_datetime(["2024-03-05", "2024-03-06", "2024-03-07"]).as_unit("ns")
ROW: dict[str, object] = {"customer": SECOND, "when": "2024-03-06", "bonus": None}
SHOP = ModelSignature(
    Schema([ColSpec("long", "customer"), ColSpec("datetime", "when"), ColSpec("double", "bonus", required=False)])
)
SIGNATURE = {
    "inputs": [
        {"type": "long", "name": "customer", "required": True},
        {"type": "datetime", "name": "when", "required": True},
        {"type": "double", "name": "bonus", "required": False},
    ]
}


def visits() -> pd.DataFrame:
    return pd.DataFrame({"customer": [FIRST, SECOND] * 6, "when": [*DAYS] * 4, "bonus": [*[1.0, np.nan, 3.0, 5.0] * 3]})


def shop() -> Any:
    """100 for the second customer, 10 for each day, and the bonus, which is 2 where it is missing."""
    prepared = ColumnTransformer(
        [
            ("customer", OneHotEncoder(categories=[[FIRST, SECOND]], drop="first"), ["customer"]),
            ("when", OrdinalEncoder(), ["when"]),
            ("bonus", SimpleImputer(strategy="constant", fill_value=2.0), ["bonus"]),
        ]
    )
    rows = visits()
    truth = 100.0 * (rows["customer"] == SECOND) + 10 * rows["when"].dt.day + rows["bonus"].fillna(2.0)
    return make_pipeline(prepared, LinearRegression()).fit(rows, truth)


def saved(model: Any, folder: Path, signature: ModelSignature | None, example: Any) -> dict[str, bytes]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.sklearn.save_model(
            model,
            folder,
            serialization_format="skops",
            skops_trusted_types=list(ALLOWED),
            pip_requirements=[],
            signature=signature,
            input_example=example,
        )
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    found = Worker(memory_megabytes=4096)
    yield found
    found.stop()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return saved(shop(), tmp_path_factory.mktemp("shop") / "model", SHOP, visits().head(4))


@pytest.fixture
def registry(files: dict[str, bytes]) -> InMemoryRegistry:
    found = InMemoryRegistry()
    found.add_model("shop")
    found.add_version("shop", files=files, signature=SIGNATURE)
    return found


@pytest.fixture
def scorer(registry: InMemoryRegistry, worker: Worker) -> Scorer:
    return Scorer(build_desk(registry), worker, POLICY)


def test_what_reaches_the_model_is_exact(scorer: Scorer) -> None:
    """Two customers that are one as doubles, and a day; an optional column that is left out is null."""
    shorter = {name: value for name, value in ROW.items() if name != "bonus"}
    said = [scorer.predict("shop/1", [row]).rows[0].value for row in (ROW, shorter, {**ROW, "customer": FIRST})]
    assert said == pytest.approx([162, 162, 62])


def test_the_same_by_column_and_from_files(scorer: Scorer, tmp_path: Path) -> None:
    """predict_batch, CSV, text with tabs and Parquet with and without zones and the optional column."""
    target = scorer.targets.target("shop/1")
    rows = [ROW, {"customer": FIRST, "when": "2024-03-07T01:00:00+01:00"}]
    checked = check_many(Input.of_rows(rows, input_schema(target)), input_schema(target))
    assert scorer.predict_columns(target, checked).answers.column("prediction").to_pylist() == pytest.approx([162, 72])

    day, zone = dt.datetime(2024, 3, 6, tzinfo=dt.UTC), pa.timestamp("us", tz="Europe/Berlin")
    customers = pa.array([SECOND, FIRST])
    columns = {
        "date32": pa.array([day.date(), dt.date(2024, 3, 7)], pa.date32()),
        "date64": pa.array([day.date(), dt.date(2024, 3, 7)], pa.date64()),
        "ns": pa.array([day.replace(tzinfo=None), dt.datetime.fromisoformat("2024-03-07")], pa.timestamp("ns")),
        "zone": pa.array([day, day + dt.timedelta(days=1)], zone),
    }
    for name, column in columns.items():
        pq.write_table(pa.table({"customer": customers, "when": column}), tmp_path / f"{name}.parquet")
    text = f"customer,when\n{SECOND},2024-03-06\n{FIRST},2024-03-07 00:00\n"
    (tmp_path / "rows.csv").write_text(text)
    (tmp_path / "rows.tsv").write_text(text.replace(",", "\t"))
    for path in sorted(tmp_path.iterdir()):
        (found,) = Batch(scorer, "shop/1", ScoringOptions(20)).score(str(path), str(tmp_path / "out.parquet"))
        assert (found.scored, found.bad) == (2, 0)
        assert pd.read_parquet(tmp_path / "out.parquet")["prediction"].tolist() == pytest.approx([162, 72])
        assert "bonus: is not in the file, so missing in every row" in found.notes


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"when": "6.3.2024"}, "when: '6.3.2024' is neither a date nor a time in ISO 8601, such as 2024-03-05"),
        ({"customer": 2.0**60}, "customer: 1.152921505e+18 is no whole number to its last digit"),
        ({"bonus": SECOND}, "bonus: 9007199254740993 has more digits than the column holds"),
    ],
)
def test_a_bad_value_is_one_sentence(scorer: Scorer, tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    """The same one for a row and for a file."""
    with pytest.raises(InvalidRows) as refused:
        scorer.predict("shop/1", [{**ROW, **change}])
    assert str(refused.value).startswith(sentence)
    row = {**ROW, **change}
    pq.write_table(pa.table({name: [value, value] for name, value in row.items()}), tmp_path / "rows.parquet")
    with pytest.raises(Exception, match="no row could be scored") as failed:
        Batch(scorer, "shop/1", ScoringOptions(20)).score(str(tmp_path / "rows.parquet"), str(tmp_path / "out.csv"))
    assert sentence in str(failed.value)


def test_times_are_explained(scorer: Scorer) -> None:
    """Against the input example, whose times are text in JSON; also where the row has no bonus and the example has."""
    found = scorer.explain("shop/1", [ROW, {"customer": FIRST, "when": "2024-03-07T00:00:00Z", "bonus": 5.0}])
    opinion = scorer.second_opinion("shop/1", found)
    assert found.adds_up
    assert [document["output"]["output"] for document in found.documents] == pytest.approx([162, 75])
    assert "when = 2024-03-07T00:00:00 raises the output by " in "\n".join(found.sentences(1))
    assert opinion.weights["customer"] > 0


def test_the_example_is_read_in_the_types_of_the_signature(scorer: Scorer, files: dict[str, bytes], registry) -> None:
    """A form starts with its first row, and it can be tried before a move."""
    target = scorer.targets.target("shop/1")
    starts = {rule.name: rule.default for rule in input_schema(target).columns}
    assert starts == {"customer": FIRST, "when": "2024-03-05T00:00:00", "bonus": 1}
    assert scorer.predict(target, [starts]).rows[0].value == pytest.approx(51)
    smoke = SubprocessSmoke(registry, seconds=60, memory_megabytes=4096, allowed_types=ALLOWED)
    assert smoke.predict(target.record, file_digest=target.digest).startswith("predicts 51")


def test_a_version_that_needs_what_cannot_be_given(registry: InMemoryRegistry, scorer: Scorer, files) -> None:
    """Is refused in one sentence that names the column; where it is optional the version is asked without it."""
    tags = {"type": "array", "items": {"type": "string"}, "name": "tags"}
    for required in (True, False):
        inputs = [*SIGNATURE["inputs"], {**tags, "required": required}]
        registry.add_version("shop", files=files, signature={"inputs": inputs})
    with pytest.raises(Refused, match="cannot be asked: its column tags takes an array, which cannot be given here"):
        scorer.predict("shop/2", [ROW])
    with pytest.raises(InvalidRows, match="tags: takes an array, which cannot be given here"):
        scorer.predict("shop/3", [{**ROW, "tags": ["a"]}])


def test_rounding_is_no_reason(scorer: Scorer, registry: InMemoryRegistry, tmp_path: Path) -> None:
    """A column that the model does not look at is neither a sentence nor one of the strongest of a file."""
    rows = pd.DataFrame({"rooms": np.arange(20.0), "area": np.arange(20.0) * 3 % 7})
    files = saved(LinearRegression().fit(rows, rows["rooms"]), tmp_path / "model", infer_signature(rows), rows.head(3))
    version = registry.add_version("shop", files=files)
    rows.to_csv(tmp_path / "rows.csv", index=False)
    Batch(scorer, f"shop/{version}", ScoringOptions(20, explain=2)).score(
        str(tmp_path / "rows.csv"), str(tmp_path / "out.parquet")
    )
    found = pd.read_parquet(tmp_path / "out.parquet")
    explained = scorer.explain(f"shop/{version}", [{"rooms": 7, "area": 2}])
    assert explained.sentences() == ["rooms 7 raises the output by 6"]
    assert set(found["reason_1"].dropna()) == {"rooms"}
    assert found["reason_1"].isna().tolist() == found["reason_1_contribution"].isna().tolist()
    assert found["reason_2"].isna().all()
    assert found["reason_2_contribution"].isna().all()


NUMBERED = [[3.0, 1.0], [5.0, 2.0]]


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize(
    "example",
    [np.array(NUMBERED), NUMBERED, pd.DataFrame(NUMBERED), {"inputs": NUMBERED}],
    ids=["array", "list", "frame", "inputs"],
)
def test_examples_of_numbered_columns(
    scorer: Scorer, registry: InMemoryRegistry, tmp_path: Path, example: Any, signed: bool
) -> None:
    """In every form in which MLflow writes one, with a signature that says as little as it may."""
    model = LinearRegression().fit(NUMBERED, [3.0, 5.0])
    inputs = infer_signature(example).inputs if not isinstance(example, dict) else None
    signature = {"inputs": inputs.to_dict()} if signed and inputs else None
    version = registry.add_version(
        "shop", files=saved(model, tmp_path / "model", ModelSignature(inputs) if signature else None, example),
        signature=signature,
    )  # fmt: skip
    target = scorer.targets.target(f"shop/{version}")
    assert [(rule.name, rule.kind, rule.default) for rule in input_schema(target).columns] == [
        ("0", "number", 3),
        ("1", "number", 1),
    ]
    assert scorer.predict(target, [{"0": 5, "1": 2}]).rows[0].value == pytest.approx(5)
    assert scorer.explain(target, [{"0": 5, "1": 2}]).adds_up
