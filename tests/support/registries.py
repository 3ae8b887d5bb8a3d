"""Registries for tests, made with plain MLflow and nothing of ours."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from support.ports import free_port

if TYPE_CHECKING:
    from mlflow import MlflowClient

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

EXPERIMENT = "odd things"
SIGNATURE = {
    "inputs": [{"type": "double", "name": "Age", "required": True}],
    "outputs": [{"type": "string", "required": True}],
}
NEVER_A_RUN = "f" * 32
# What ends a process, hangs it, or raises, where it is parsed as it is.
HOSTILE_MLMODELS = {
    "deep": b"[" * 50_000,
    "references": b"".join(
        b"a%d: &a%d [%s]\n" % (level, level, b", ".join([b"*a%d" % (level - 1)] * 9) if level else b"x")
        for level in range(9)
    ),
    "a date": b"flavors: {sklearn: {}}\nutc_time_created: 2026-01-01 10:00:00\nsignature: 2026-01-01\n",
}
SERVER_SECONDS = 300  # a limit for what hangs, not for what is slow


def template_store(folder: Path) -> Path:
    """An empty MLflow SQLite store; creating it takes 5 seconds, so one per folder is kept for all who ask."""
    database = folder / "template" / "mlflow.db"
    database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{database}.lock"):
        if not database.exists():
            from mlflow import MlflowClient

            fresh = database.with_name("fresh.db")
            uri = f"sqlite:///{fresh}"
            with warnings.catch_warnings(action="ignore"):
                client = MlflowClient(uri, uri)
                client.search_experiments(max_results=1)
                client.search_registered_models(max_results=1)
            shutil.copyfile(fresh, database)
    return database


def copy_store(template: Path, folder: Path) -> str:
    """The address of a store of one's own."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(template, folder / "mlflow.db")
    return f"sqlite:///{folder / 'mlflow.db'}"


def relocate(database: Path, before: Path | str, after: Path | str) -> None:
    """Wherever a copied database names the folder that it was copied from, it names the new one."""
    with closing(sqlite3.connect(database)) as connection, connection:
        ask = "select name, sql from sqlite_master where type = ?"
        tables, triggers = (connection.execute(ask, (kind,)).fetchall() for kind in ("table", "trigger"))
        for name, _ in triggers:  # a ledger's keep it append-only
            connection.execute(f'drop trigger "{name}"')
        for table, _ in tables:
            for _, column, *_ in connection.execute(f'pragma table_info("{table}")').fetchall():
                connection.execute(
                    f'update "{table}" set "{column}" = replace("{column}", ?, ?) where instr("{column}", ?)',
                    (f"{before}/", f"{after}/", f"{before}/"),
                )
        for _, statement in triggers:
            connection.execute(statement)


@contextmanager
def mlflow_server(database_uri: str, folder: Path, *, python: str = sys.executable) -> Iterator[str]:
    """A real server on loopback in front of a SQLite store; its artifacts are reached through it only."""
    server = MlflowServer(database_uri, folder, python=python)
    server.start()
    try:
        yield server.url
    finally:
        server.stop()


class MlflowServer:
    """One address whose server can be stopped, started again, and held so that it takes calls and says nothing."""

    def __init__(self, database_uri: str, folder: Path, *, python: str = sys.executable) -> None:
        self._port, self._python = free_port(), python
        self._database_uri, self._folder = database_uri, folder
        self.url = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        where = ["--backend-store-uri", self._database_uri, "--artifacts-destination", str(self._folder / "artifacts")]
        command = [self._python, "-m", "mlflow", "server", *where, "--host", "127.0.0.1", "--port", str(self._port)]
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        environment.pop("MLFLOW_TRACKING_URI", None)
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--workers", "1"],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                env=environment,
                start_new_session=True,  # so that a signal reaches its children too
            )
        wait_for(f"{self.url}/health", self._process)

    def stop(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGCONT)
            self._process.terminate()
            self._process.wait(120)
            with suppress(ProcessLookupError):  # the workers of an older server outlive it
                os.killpg(self._process.pid, signal.SIGTERM)
            self._process = None

    def hold(self) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGSTOP)

    def release(self) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGCONT)


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + SERVER_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            assert server.poll() is None, "the server ended; see server.log"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.2)


class Filler:
    """Fills one MLflow store as any program would: models, runs, files, versions."""

    def __init__(self, uri: str, *, experiment: str = "filler") -> None:
        from mlflow import MlflowClient

        self.uri = uri
        self._client = MlflowClient(uri, uri)
        self._database = Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite") else None
        location = (self._database.parent / "artifacts").as_uri() if self._database else None
        found = self.client.get_experiment_by_name(experiment)
        self.experiment_id = (
            found.experiment_id if found else self.client.create_experiment(experiment, artifact_location=location)
        )

    @property
    def client(self) -> "MlflowClient":
        # MLflow 3.17 on SQLAlchemy 2.1; pytest forgets filters between a fixture and its test.
        warnings.filterwarnings("ignore", message="The ``noload`` loader strategy is deprecated")
        return self._client

    def add_model(self, name: str, *, description: str = "", tags: Mapping[str, str] | None = None) -> None:
        self.client.create_registered_model(name, dict(tags or {}), description)

    def add_run(self, metrics: Mapping[str, float] | None = None, params: Mapping[str, str] | None = None) -> str:
        from mlflow.entities import Metric, Param

        run_id = self.client.create_run(self.experiment_id).info.run_id
        self.client.log_batch(
            run_id,
            metrics=[Metric(key, value, 1, 0) for key, value in (metrics or {}).items()],
            params=[Param(key, value) for key, value in (params or {}).items()],
        )
        self.client.set_terminated(run_id)
        return run_id

    def add_files(self, run_id: str | None, files: Mapping[str, bytes]) -> str:
        """A LoggedModel with these files; gives its id."""
        from mlflow.entities import LoggedModelStatus

        model = self.client.create_logged_model(self.experiment_id, name="model", source_run_id=run_id)
        folder = self.folder(model.artifact_location)
        if folder is not None:
            write_files(folder, files)
        else:
            self._upload(model.model_id, files)
        self.client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
        return model.model_id

    def _upload(self, model_id: str, files: Mapping[str, bytes]) -> None:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            write_files(Path(folder), files)
            self.client.log_model_artifacts(model_id, folder)

    def replace_file(self, model_id: str, path: str, content: bytes) -> None:
        """Overwrite a registered file, as MLflow allows."""
        import tempfile

        folder = self.folder(self.client.get_logged_model(model_id).artifact_location)
        if folder is not None:
            (folder / path).write_bytes(content)
            return
        with tempfile.TemporaryDirectory() as copy:
            write_files(Path(copy), {path: content})
            self.client.log_model_artifacts(model_id, copy)

    def add_version(
        self,
        model: str,
        *,
        metrics: Mapping[str, float] | None = None,
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        files: Mapping[str, bytes] | None = None,
        description: str = "",
        with_run: bool = True,
    ) -> int:
        """A version with a run and a LoggedModel of its own; `files` default to a small model."""
        run_id = self.add_run(metrics, params) if with_run else None
        model_id = self.add_files(run_id, model_files() if files is None else files)
        return self.register(model, f"models:/{model_id}", run_id=run_id, tags=tags, description=description)

    def add_versions_of_a_run(
        self,
        model: str,
        owns: Sequence[Any],
        *,
        metrics: Mapping[str, float] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> None:
        """One run and a version for each logged model in it. owns: `metrics` and `params` of each.

        A dataset is its name with its digest in brackets.
        """
        from mlflow.entities import Metric

        run_id = self.client.create_run(self.experiment_id).info.run_id
        for number, own in enumerate(owns):
            found = self.client.create_logged_model(
                self.experiment_id, name=f"model-{number}", source_run_id=run_id, params=dict(own.params)
            )
            for name, at, step, value, dataset in own.metrics:
                logged = float("nan") if value is None else value
                label, _, digest = dataset.removesuffix(")").partition(" (")
                on = {"dataset_name": label, "dataset_digest": digest} if dataset else {}
                metric = Metric(name, logged, at, step, model_id=found.model_id, run_id=run_id, **on)
                self.client.log_batch(run_id, metrics=[metric])
            self.register(model, f"models:/{found.model_id}", run_id=run_id)
        for name, value in (metrics or {}).items():
            self.client.log_batch(run_id, metrics=[Metric(name, value, 99, 99)])
        for name, value in (params or {}).items():
            self.client.log_param(run_id, name, value)

    def register(
        self,
        model: str,
        source: str,
        *,
        run_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        description: str = "",
    ) -> int:
        from mlflow.tracking._tracking_service.utils import _use_tracking_uri

        # A store without a server asks the process-wide address where a LoggedModel lies.
        with _use_tracking_uri(self.uri):
            found = self.client.create_model_version(
                model,
                source,
                run_id=run_id,
                tags=dict(tags or {}),
                description=description,
                await_creation_for=0,
                model_id=source.removeprefix("models:/") if source.startswith("models:/m-") else None,
            )
        return int(found.version)

    def set_stage(self, model: str, version: int, stage: str) -> None:
        self.client._get_registry_client().transition_model_version_stage(model, str(version), stage)

    def delete_version(self, model: str, version: int) -> None:
        self.client.delete_model_version(model, str(version))

    def files_of(self, model: str, version: int) -> Path:
        """The folder of a version's files, where they lie on this machine."""
        folder = self.folder(self.client.get_model_version_download_uri(model, str(version)))
        assert folder is not None
        return folder

    @staticmethod
    def folder(location: str) -> Path | None:
        parts = urlsplit(location)
        return Path(unquote(parts.path)) if parts.scheme in ("", "file") else None

    def execute(self, statement: str, *values: Any) -> None:
        """Write into the database what MLflow's client would not."""
        assert self._database is not None
        execute(self._database, statement, *values)


def execute(database: Path, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(statement, values)


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def mlmodel(
    *, flavor: str = "sklearn", signature: Mapping[str, Any] | None = SIGNATURE, with_example: bool = True
) -> bytes:
    """An MLmodel file as MLflow writes it, in JSON, which is YAML."""
    content: dict[str, Any] = {
        "flavors": {flavor: {"data": "model.bin"}, "python_function": {"loader_module": f"mlflow.{flavor}"}},
        "mlflow_version": "3.17.2",
    }
    if signature is not None:
        content["signature"] = {half: json.dumps(columns) for half, columns in signature.items()}
    if with_example:
        content["saved_input_example_info"] = {"artifact_path": "input_example.json", "type": "dataframe"}
    return json.dumps(content).encode()


def model_files(documents: Mapping[str, Any] | None = None, **options: Any) -> dict[str, bytes]:
    """A small model's folder; `documents` lie under signoff/. Nothing in it can be loaded, and nothing needs to be."""
    files = {"MLmodel": mlmodel(**options), "model.bin": b"weights", "requirements.txt": b"scikit-learn\n"}
    if options.get("with_example", True):
        files["input_example.json"] = b'{"columns": ["Age"], "data": [[31.0]]}'
    return files | {f"signoff/{name}.json": json.dumps(content).encode() for name, content in (documents or {}).items()}


@dataclass
class Oddities:
    """What `fill_oddities` made, by role: `models` names, `versions` (model, version)."""

    models: dict[str, str] = field(default_factory=dict)
    versions: dict[str, tuple[str, int]] = field(default_factory=dict)


ODD_NAMES = {
    "quotes": 'it\'s a "quoted" `name`',
    "spaces": "  spaces  inside and before",
    "percent": "100%_sure%20",
    "emoji": "model \N{ROCKET} naïve",
    "right_to_left": "safe\N{RIGHT-TO-LEFT OVERRIDE}gpj.exe",
    "newline": "two\nlines; -- drop",
    "backslash": "back\\slash\\",
    "markup": "<b>bold<b> **strong** $x$",
    "long": "n" * 300,
}
HOSTILE_TEXT = (
    "<script>alert(1)</script> ![tracker](https://example.invalid/pixel.png) :green-badge[Approved] "
    "[click](javascript:alert(1)) <style>*{display:none}</style>"
)


def fill_oddities(uri: str) -> Oddities:
    """A SQLite registry with everything that real ones are found to contain; takes about 5 seconds."""
    filler, made = Filler(uri, experiment=EXPERIMENT), Oddities()
    _plain(filler, made)
    _broken_lineage(filler, made)
    _broken_files(filler, made)
    _foreign_flavors(filler, made)
    _odd_names(filler, made)
    _odd_states(filler, made)
    _deleted_things(filler, made)
    filler.client.register_prompt("a-prompt", "Say {{ word }}.")
    made.models["prompt"] = "a-prompt"
    return made


def _plain(filler: Filler, made: Oddities) -> None:
    made.models["plain"] = name = "plain"
    filler.add_model(name, description="As it should be.", tags={"team": "blue"})
    for accuracy in (0.80, 0.85, 0.90):
        made.versions["plain"] = (
            name,
            filler.add_version(
                name,
                metrics={"accuracy": accuracy, "f1_macro": accuracy - 0.05},
                params={"depth": "3"},
                tags={"model_type": "forest"},
                files=model_files({"schema": {"columns": []}}),
            ),
        )
    filler.client.set_registered_model_alias(name, "champion", "2")
    filler.set_stage(name, 2, "Production")
    filler.set_stage(name, 1, "Archived")


def _broken_lineage(filler: Filler, made: Oddities) -> None:
    made.models["odd"] = name = "odd"
    filler.add_model(name)

    def add(role: str, **options: Any) -> int:
        version = filler.add_version(name, **options)
        made.versions[role] = name, version
        return version

    add("no_run", with_run=False)
    add("no_metrics")
    deleted = add("deleted_run", metrics={"accuracy": 0.7}, params={"depth": "2"})
    filler.client.delete_run(filler.client.get_model_version(name, str(deleted)).run_id)
    model_id = filler.add_files(None, model_files())
    made.versions["missing_run"] = name, filler.register(name, f"models:/{model_id}", run_id=NEVER_A_RUN)
    add("not_finite", metrics={"accuracy": 0.9, "nan": float("nan"), "up": float("inf"), "down": float("-inf")})
    for role, status in (("pending", "PENDING_REGISTRATION"), ("failed", "FAILED_REGISTRATION")):
        statement = "update model_versions set status = ? where name = ? and version = ?"
        filler.execute(statement, status, name, add(role))
    copied = filler.register("odd", "models:/plain/3")
    made.versions["copied"] = name, copied


def _broken_files(filler: Filler, made: Oddities) -> None:
    name = made.models["odd"]

    def add(role: str, **options: Any) -> None:
        made.versions[role] = name, filler.add_version(name, metrics={"accuracy": 0.8}, **options)

    add("no_signature", files=model_files(signature=None, with_example=False))
    add("lost_files")
    shutil.rmtree(filler.files_of(*made.versions["lost_files"]))
    add("no_mlmodel", files={"model.bin": b"weights"})
    add("broken_mlmodel", files={**model_files(), "MLmodel": b"flavors: [unclosed"})
    add(
        "broken_documents", files={**model_files({"good": [1]}), "signoff/bad.json": b"{", "signoff/nan.json": b"[NaN]"}
    )
    add("link")
    (filler.files_of(*made.versions["link"]) / "passwd").symlink_to("/etc/passwd")
    for role, source in (("no_source", "/nowhere/at/all"), ("etc", "file:///etc"), ("cloud", "s3://nowhere/model")):
        made.versions[role] = name, filler.register(name, source)


def _foreign_flavors(filler: Filler, made: Oddities) -> None:
    made.models["foreign"] = name = "foreign flavors"
    filler.add_model(name, description="Trained elsewhere.")
    files = model_files(flavor="lightgbm")
    made.versions["lightgbm"] = name, filler.add_version(name, metrics={"auc": 0.7}, files=files)
    code = {"flavors": {"python_function": {"loader_module": "own_loader", "code": "code", "data": "model.bin"}}}
    files = {"MLmodel": json.dumps(code).encode(), "model.bin": b"", "code/own_loader.py": b"raise SystemExit('ran')\n"}
    made.versions["code"] = name, filler.add_version(name, metrics={"auc": 0.8}, files=files)


def _odd_names(filler: Filler, made: Oddities) -> None:
    for role, name in ODD_NAMES.items():
        made.models[role] = name
        filler.add_model(name)
        run_id = filler.add_run({"accuracy": 0.5})
        made.versions[role] = name, filler.register(name, "/nowhere", run_id=run_id)
        filler.client.set_registered_model_alias(name, "champion", "1")


def _odd_states(filler: Filler, made: Oddities) -> None:
    made.models["two_production"] = name = "two in production"
    filler.add_model(name)
    for number in (1, 2):
        filler.register(name, "/nowhere")
        filler.set_stage(name, number, "Production")
    made.models["many_aliases"] = name = "many aliases"
    filler.add_model(name)
    filler.register(name, "/nowhere")
    for alias in ("champion", "Champion", "challenger", "prod-eu", "prod_us", "1"):
        filler.client.set_registered_model_alias(name, alias, "1")
    made.models["hostile"] = name = "hostile"
    filler.add_model(name, description=HOSTILE_TEXT, tags={"note": HOSTILE_TEXT})
    version = filler.register(name, "/nowhere", tags={"note": HOSTILE_TEXT}, description=HOSTILE_TEXT)
    made.versions["hostile"] = name, version
    made.models["empty"] = "no versions yet"
    filler.add_model("no versions yet")


def _deleted_things(filler: Filler, made: Oddities) -> None:
    made.models["deleted_version"] = name = "a version was deleted"
    filler.add_model(name)
    for _ in range(3):
        filler.register(name, "/nowhere")
    filler.client.set_registered_model_alias(name, "champion", "3")
    filler.delete_version(name, 3)
    made.models["recreated"] = name = "deleted and made again"
    for source in ("/first/life", "/second/life"):
        if source == "/second/life":
            filler.client.delete_registered_model(name)
        filler.add_model(name)
        filler.register(name, source)


OLD_MODEL, OLD_REVISION = "churn_classifier", "acf3f17fdcc7"


def old_store(folder: Path) -> Path:
    """A registry as MLflow 2.8 left it, from the dump in `old_registry`; its files are not there."""
    folder.mkdir(parents=True, exist_ok=True)
    text = (Path(__file__).parents[1] / "old_registry" / "mlflow_2_8.sql").read_text(encoding="utf-8")
    with closing(sqlite3.connect(folder / "mlflow.db")) as database:
        database.executescript(text.replace("FOLDER", str(folder)))
    return folder / "mlflow.db"
