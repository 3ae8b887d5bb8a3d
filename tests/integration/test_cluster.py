"""Scoring on a real Dask cluster of two worker processes: the same bytes as here, also encrypted."""

import datetime as dt
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

import cloudpickle
import pandas as pd
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from distributed import Client

from pipeline.cli import run
from pipeline.governance.errors import IntegrityFailure
from pipeline.governance.record.evidence import manifest_digest
from pipeline.serving.worker.client import WorkerRefusal
from pipeline.serving.worker.dask import DaskModel, Tls, cluster
from pipeline.serving.worker.load import files_of
from pipeline.settings import ROOT
from support import registries
from support.desks import MODEL
from support.hostile_models import fitted, rows, save
from support.soak import amount, only_in_soak

END_SECONDS = 20


@pytest.fixture(scope="module")
def environment(template: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of a real MLflow with a forest that is its champion, and small chunks."""
    folder = tmp_path_factory.mktemp("registered")
    uri = registries.copy_store(template, folder)
    filler = registries.Filler(uri)
    filler.add_model(MODEL)
    saved = save(fitted("random_forest"), folder / "saved")
    files = {path.relative_to(saved).as_posix(): path.read_bytes() for path in saved.rglob("*") if path.is_file()}
    filler.add_version(MODEL, files=files)
    (folder / "params.yaml").write_text(
        (ROOT / "params.yaml")
        .read_text()
        .replace("chunk_rows: 20000", "chunk_rows: 50")
        .replace("workers: null", "workers: 1")
    )
    return {
        "MLFLOW_TRACKING_URI": uri,
        "SIGNOFF_LEDGER_URL": f"sqlite:///{folder / 'ledger.db'}",
        "SIGNOFF_PARAMS": str(folder / "params.yaml"),
    }


@pytest.fixture
def told(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


@contextmanager
def dask(folder: Path, *options: str) -> Iterator[str]:
    """A scheduler and two worker processes; gives the scheduler's address."""
    about = folder / "scheduler.json"
    common = ["--no-dashboard", "--scheduler-file", str(about), *options]
    program = (
        [sys.executable, "-m", "distributed.cli.dask_scheduler"],
        [sys.executable, "-m", "distributed.cli.dask_worker"],
    )
    with (folder / "dask.log").open("w") as log:
        started = [
            subprocess.Popen(
                [*program[0], "--host", "127.0.0.1", "--port", "0", *common], stdout=log, stderr=log, cwd=ROOT
            )
        ]
        while not about.exists() or not about.read_text():
            assert started[0].poll() is None, (folder / "dask.log").read_text()
            time.sleep(0.05)
        here = ["--nthreads", "1", "--no-nanny", "--local-directory", str(folder)]
        command = [*program[1], *here, *common]
        started += [subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT) for _ in range(2)]
        try:
            yield json.loads(about.read_text())["address"]
        finally:
            for process in reversed(started):  # one by one: a Dask worker told to end twice at once never does
                end(process)


def end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of one cluster for the tests that leave nothing in it."""
    with dask(tmp_path_factory.mktemp("dask")) as found:
        yield found


def survey(folder: Path) -> Path:
    frame = pd.concat([rows()[0]] * 5, ignore_index=True)
    frame.loc[7, "Age"] = None
    frame.to_csv(folder / "in.csv", index=False)
    return folder / "in.csv"


@pytest.mark.parametrize("options", amount([["--explain", "1"]], soak=[[], ["--explain", "1"]]), ids=len)
def test_a_cluster_gives_the_same_bytes(
    told: None, address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    """From two Dask workers as from one process here, and nothing of the model stays there."""
    source, here, there = survey(tmp_path), tmp_path / "here.csv", tmp_path / "there.csv"
    assert run(["score", f"{MODEL}/1", str(source), str(here), *options]) == 0
    assert run(["score", f"{MODEL}/1", str(source), str(there), "--scheduler", address, *options]) == 0

    for end in ("", ".bad.csv"):
        assert Path(f"{there}{end}").read_bytes() == Path(f"{here}{end}").read_bytes()
    assert "goes on" not in capsys.readouterr().err


def write_certificate(folder: Path) -> list[str]:
    """One that signs itself, for everybody: the three files as options."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cluster")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(private)
    return ["cert.pem", "cert.pem", "key.pem"]


@only_in_soak
def test_an_encrypted_cluster(told: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The three TLS options are passed on; without them nobody gets in."""
    source, files = survey(tmp_path), [str(tmp_path / name) for name in write_certificate(tmp_path)]
    theirs = [each for pair in zip(("--tls-ca-file", "--tls-cert", "--tls-key"), files, strict=True) for each in pair]
    ours = [each for pair in zip(("--tls-ca", "--tls-cert", "--tls-key"), files, strict=True) for each in pair]
    with dask(tmp_path, "--protocol", "tls", *theirs) as address:
        assert address.startswith("tls://")
        arguments = ["score", f"{MODEL}/1", str(source), str(tmp_path / "out.csv"), "--scheduler", address]
        assert run([*arguments, *ours]) == 0
        assert run(arguments) == 6
    assert "no Dask scheduler answers there" in capsys.readouterr().err
    assert run([*arguments, "--tls-ca", "gone.pem"]) == 2
    assert "gone.pem: is not a file" in capsys.readouterr().err


def test_a_cluster_that_is_not_there(told: None, tmp_path: Path, monkeypatch, capsys) -> None:
    """Is one sentence, and so is Dask that is not installed."""
    monkeypatch.setattr("pipeline.serving.worker.dask.CONNECT_SECONDS", 1)
    arguments = [
        "score",
        f"{MODEL}/1",
        str(survey(tmp_path)),
        str(tmp_path / "out.csv"),
        "--scheduler",
        "tcp://127.0.0.1:1",
    ]
    assert run(arguments) == 6
    assert "tcp://127.0.0.1:1: no Dask scheduler answers there" in capsys.readouterr().err
    monkeypatch.delitem(sys.modules, "pipeline.serving.worker.dask")
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert run(arguments) == 2
    assert "--scheduler: needs the package distributed" in capsys.readouterr().err


class Station:
    """What a Dask worker tells of itself."""

    class state:  # noqa: N801 (Dask's name)
        nthreads = 1


@pytest.mark.parametrize("files", [{"MLmodel": b"other"}, {"../MLmodel": b"x"}])
def test_a_dask_worker_compares_the_digest(
    files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything of the model is used; nothing of what was sent stays."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(IntegrityFailure, match="the cluster: "):
        DaskModel(files, "0" * 64, 1024).setup(Station())
    assert not list(tmp_path.iterdir())


@only_in_soak
def test_a_dask_worker_writes_the_files_again(tmp_path: Path) -> None:
    """Where somebody has cleaned its temporary folder and its process was started anew."""
    folder = save(fitted("logistic_regression"), tmp_path / "model")
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    digest = manifest_digest(files_of(folder))
    request = {"op": "describe", "digest": digest, "trust": "allow_list", "allowed_types": [], "kept_models": 1}
    model = DaskModel(files, digest, 4096)
    model.setup(Station())
    try:
        before = model.ask(request, seconds=60, about="it")
        shutil.rmtree(model.folder.parent)
        model.pool.stop()
        assert model.ask(request, seconds=60, about="it") == before
    finally:
        model.teardown(Station())
    assert not any(folder.exists() for folder in model.folders)


def test_a_cluster_that_refuses_keeps_nothing(address: str) -> None:
    """Neither its scheduler, which would give the model to later workers, nor its workers."""
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    model = DaskModel({"MLmodel": b"other"}, "0" * 64, 1024)
    with pytest.raises(IntegrityFailure, match="the cluster: "), cluster(address, Tls(), model):
        pass
    with Client(address, set_as_default=False) as client:
        assert model.name not in client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.worker_plugins))
        held = client.run(lambda dask_worker: list(dask_worker.plugins)).values()
        assert not any(model.name in names for names in held)


def test_a_refusal_comes_back_whole() -> None:
    """Across machines, with its kind."""
    import pickle  # our own object, there and back

    found = pickle.loads(pickle.dumps(WorkerRefusal("version 3 of obesity", "cannot", kind="failed")))
    assert (str(found), found.reason, found.kind) == ("version 3 of obesity cannot", "cannot", "failed")
