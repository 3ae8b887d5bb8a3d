"""The same requests on a Dask cluster that whoever names it trusts; Dask itself moves its tasks by pickle.

Each Dask worker gets the model's files once, compares their digest, and asks worker processes of its own, which load
the model under the same allow-list as here. Signoff must be installed there.
"""

import contextlib
import shutil
import tempfile
import threading
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distributed import Client, KilledWorker, Security, WorkerPlugin, get_worker

from pipeline.governance.errors import IntegrityFailure, InvalidInput, Unavailable
from pipeline.governance.record.evidence import manifest_digest
from pipeline.governance.text import first_line, visible
from pipeline.serving.worker.client import Pool
from pipeline.serving.worker.load import files_of
from pipeline.serving.worker.protocol import Frame

CONNECT_SECONDS = 30
RETRIES = 3  # of a request whose Dask worker went away
LOST = (CancelledError, KilledWorker, OSError, TimeoutError)


@dataclass(frozen=True)
class Tls:
    """TLS files as Dask takes them; without any, Dask's own configuration decides."""

    ca: str | None = None  # certificate of the authority
    certificate: str | None = None
    key: str | None = None  # of our own certificate

    def security(self) -> Any:  # noqa: ANN401 (Dask has no types)
        given = {"tls_ca_file": self.ca, "tls_client_cert": self.certificate, "tls_client_key": self.key}
        known = {name: value for name, value in given.items() if value}
        if missing := [value for value in known.values() if not Path(value).is_file()]:
            raise InvalidInput(f"{missing[0]}: is not a file")
        return Security(require_encryption=True, **known) if known else Security()


@dataclass
class DaskModel(WorkerPlugin):  # type: ignore[misc]  # Dask has no types
    """A model on one Dask worker, from the start of a run to its end."""

    files: Mapping[str, bytes]  # the model's files by path
    digest: str  # of these files
    memory_megabytes: int  # limit of each worker process
    name: str = field(default_factory=lambda: f"signoff-{uuid.uuid4().hex}")

    def setup(self, worker: Any) -> None:  # noqa: ANN401
        """Unpacks the files. Raises IntegrityFailure where they are not those that were sent."""
        self.pool: Pool | None = None
        self.folders: list[Path] = []
        self._add_folder()
        self.renewing = threading.Lock()
        self.pool = Pool(worker.state.nthreads, memory_megabytes=self.memory_megabytes)

    def _add_folder(self) -> None:
        """A new folder with the model's files."""
        folder = Path(tempfile.mkdtemp(prefix="signoff-"))
        self.folder = folder / "model"
        self.folders.append(folder)
        try:
            self._write_files()
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _write_files(self) -> None:
        for name, content in self.files.items():
            path = self.folder / name
            if not path.resolve().is_relative_to(self.folder.resolve()):
                raise IntegrityFailure("the cluster: a file's path leaves the model's folder")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        if manifest_digest(files_of(self.folder)) != self.digest:
            raise IntegrityFailure("the cluster: the model's files are not those that were sent")

    def ask(self, request: Mapping[str, Any], *, seconds: float, about: str) -> Frame:
        """Asks as Worker.ask does; writes the files again where somebody has cleaned the temporary folder."""
        assert self.pool is not None  # noqa: S101 (asked between setup and teardown)
        before = self.folder
        try:
            return self.pool.ask({**request, "folder": str(before)}, seconds=seconds, about=about)
        except IntegrityFailure:
            with self.renewing:
                if self.folder == before:
                    self._add_folder()
            return self.pool.ask({**request, "folder": str(self.folder)}, seconds=seconds, about=about)

    def teardown(self, worker: Any) -> None:  # noqa: ANN401, ARG002 (Dask's signature)
        if self.pool:
            self.pool.stop()
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)


def _ask(plugin: str, request: Mapping[str, Any], *, seconds: float, about: str) -> Frame:
    """Runs on a Dask worker: asks the model that `setup` has put there."""
    model: DaskModel = get_worker().plugins[plugin]
    return model.ask(request, seconds=seconds, about=about)


@dataclass(frozen=True)
class Cluster:
    """Answers requests about one model, as many at once as the cluster has threads: implements client.Answering."""

    client: Any  # Dask's
    plugin: str  # the name of the DaskModel there
    size: int  # threads of the cluster

    def ask(self, request: Mapping[str, Any], *, seconds: float, about: str) -> Frame:
        """The answer of the cluster. Raises as Worker.ask; Unavailable where the cluster goes away."""
        try:
            task = self.client.submit(
                _ask, self.plugin, request, seconds=seconds, about=about, pure=False, retries=RETRIES
            )
            answer: Frame = task.result()
        except LOST as error:
            raise Unavailable(f"the cluster: lost the request ({first_line(error)})") from error
        return answer


@contextlib.contextmanager
def cluster(address: str, tls: Tls, model: DaskModel) -> Iterator[Cluster]:
    """Sends the model to a cluster until the block ends. Raises Unavailable where nobody answers or works there."""
    try:
        client = Client(address, security=tls.security(), timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, TimeoutError, TypeError, ValueError) as error:
        raise Unavailable(f"{visible(address)}: no Dask scheduler answers there ({first_line(error)})") from error
    with client:
        try:
            _send(client, model, address)
            yield Cluster(client, model.name, sum(client.nthreads().values()))
        finally:
            with contextlib.suppress(ValueError, *LOST):  # it was never there, or nobody is there any more
                client.unregister_worker_plugin(model.name)


def _send(client: Client, model: DaskModel, address: str) -> None:
    try:
        client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        client.register_plugin(model, name=model.name)
    except (OSError, TimeoutError, ImportError) as error:
        raise Unavailable(f"{visible(address)}: its workers cannot take the model ({first_line(error)})") from error
