"""Two ways to start a worker: split off a fork server, or as a process of its own; neither leaves anything behind."""

import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from pipeline.governance.errors import Unavailable
from pipeline.serving.worker.client import Worker
from pipeline.serving.worker.launch import fork_server
from pipeline.serving.worker.launch.fork_server import SHARED, ForkServer, launcher
from pipeline.serving.worker.launch.processes import COMMAND, Launcher, OwnProcess, end_process, ending
from pipeline.serving.worker.protocol import read_frame
from pipeline.settings import ROOT

SECONDS = 300.0
PROGRAM = """
import sys, time
from pipeline.serving.worker.client import Worker
from pipeline.serving.worker.launch.fork_server import SHARED
from pipeline.serving.worker.launch.processes import OwnProcess
worker = Worker(memory_megabytes=4096, by=eval(sys.argv[1]))
worker.ask({"op": "ping"}, seconds=60, about="it")
print(worker.pid, SHARED.pid or "", flush=True)
sys.stdin.read(int(sys.argv[2]))
"""


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    """One whose workers are those of these tests alone."""
    found = ForkServer()
    yield found
    assert children(found) == []


@pytest.fixture(params=[ForkServer, OwnProcess])
def way(request: pytest.FixtureRequest, server: ForkServer) -> Launcher:
    return server if request.param is ForkServer else OwnProcess()


@contextmanager
def started(by: Launcher, *, niceness: int = 0) -> Iterator[Worker]:
    found = Worker(memory_megabytes=4096, niceness=niceness, by=by)
    try:
        yield found
    finally:
        found.stop()


def ping(worker: Worker) -> int:
    """The number of its process, which runs now."""
    worker.ask({"op": "ping"}, seconds=SECONDS, about="it")
    assert worker.pid is not None
    return worker.pid


def calling(program: str, *arguments: str, **variables: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        (sys.executable, "-c", program, *arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, **variables},
    )


def children(server: ForkServer) -> list[int]:
    return [] if server.pid is None else [each.pid for each in psutil.Process(server.pid).children()]


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def has_ended(pid: int) -> bool:
    """Where the first process of a container takes note of no end, it stays as a zombie."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


def files(pid: int) -> dict[str, str]:
    """What each of its descriptors is."""
    return {each.name: str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir()}


# Both ways.


def test_a_session_of_its_own_in_an_empty_folder(way: Launcher) -> None:
    """With its niceness, without the caller's variables; Ctrl-C and SIGTERM are for whoever asks."""
    with started(way, niceness=3) as worker:
        process = psutil.Process(ping(worker))
        assert os.getsid(process.pid) == process.pid
        assert process.nice() == psutil.Process().nice() + 3
        session = Path(f"/proc/{process.pid}/autogroup")  # its share, where Linux shares the processors by session
        assert not os.access(session, os.W_OK) or session.read_text().endswith(" nice 3\n")
        assert list(Path(process.cwd()).iterdir()) == []
        assert {"SIGNOFF_ACTOR", "PYTEST_CURRENT_TEST"} & set(process.environ()) == set()
        os.kill(process.pid, signal.SIGINT)
        os.kill(process.pid, signal.SIGTERM)
        assert ping(worker) == process.pid


def test_it_holds_its_own_pipes_alone(way: Launcher) -> None:
    """Nothing of another worker, of the fork server or of the caller."""
    with started(way) as first, started(way) as second:
        held = [files(pid) for pid in (ping(first), ping(second))]
    for each in held:
        assert {each.pop(name) for name in "012"} == {os.devnull}
        assert [target.partition(":")[0] for target in each.values()] == ["pipe", "pipe"]
    assert len({target for each in held for target in each.values()}) == 4


def test_how_it_ended(way: Launcher, tmp_path: Path) -> None:
    """By a signal, or with the end of its stdin."""
    crashed, ended = (way.start(tmp_path, niceness=0) for _ in range(2))
    assert crashed.poll() is None
    os.kill(crashed.pid, signal.SIGSEGV)
    assert crashed.wait(SECONDS) == crashed.poll() == -signal.SIGSEGV
    crashed.kill()  # nobody any more
    with pytest.raises(subprocess.TimeoutExpired):
        ended.wait(0)
    assert ended.stdout is not None
    assert read_frame(ended.stdout) == {"ready": True}
    assert [end_process(each) for each in (ended, crashed)] == [0, -signal.SIGSEGV]


def test_its_processor_time_is_its_own(way: Launcher) -> None:
    """The limit of a request counts none of what the imports took."""
    with started(way) as worker:
        ping(worker)
        worker.ask({"op": "ping"}, seconds=1, about="it")
        assert worker.pid is not None
        spent = sum(psutil.Process(worker.pid).cpu_times()[:2])
        soft, _ = resource.prlimit(worker.pid, resource.RLIMIT_CPU)
        assert soft <= int(spent + 1) + 1


def test_nothing_is_left_behind(way: Launcher, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the process nor its folder, whether it was stopped or is no longer referred to."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    worker = Worker(memory_megabytes=4096, by=way)
    stopped = ping(worker)
    worker.stop()
    dropped = ping(worker)
    del worker
    assert list(tmp_path.iterdir()) == []
    for pid in (stopped, dropped):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.parametrize("by", ["SHARED", "OwnProcess()"])
@pytest.mark.parametrize("killed", [True, False])
def test_it_ends_with_whoever_started_it(tmp_path: Path, by: str, killed: bool) -> None:
    """And so does the fork server; also where the caller is killed and cannot clean up."""
    with calling(PROGRAM, by, "1", TMPDIR=str(tmp_path)) as caller:  # who is killed removes no folder
        assert caller.stdout
        pids = [int(pid) for pid in caller.stdout.readline().split()]
        assert len(pids) == (2 if by == "SHARED" else 1)
        if killed:
            caller.kill()
        caller.communicate()
    assert (killed, caller.returncode) in {(True, -signal.SIGKILL), (False, 0)}
    until(lambda: all(map(has_ended, pids)))
    assert killed or list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("make", [ForkServer, OwnProcess])
@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (("/nowhere/python",), "No such file or directory"),
        ((sys.executable, "-c", "import sys; sys.exit(3)"), "exit code 3"),
        ((sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"), "SIGKILL"),
    ],
)
def test_a_worker_that_does_not_start(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    make: Callable[[tuple[str, ...]], Launcher],
    command: tuple[str, ...],
    reason: str,
) -> None:
    """Is unavailable, with the reason, and leaves no folder behind."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with started(make(command)) as worker, pytest.raises(Unavailable, match=rf"does not start \({reason}\)"):
        ping(worker)
    assert list(tmp_path.iterdir()) == []


def test_the_program_is_our_own() -> None:
    """The interpreter of this process, and no module of the current folder."""
    assert COMMAND == (sys.executable, "-P", "-m", "pipeline.serving.worker")


# The fork server.


def test_workers_of_one_caller_have_one_server() -> None:
    """Where the system has what it takes, it is how workers start."""
    assert launcher() is SHARED
    workers = [Worker(memory_megabytes=4096) for _ in range(2)]
    try:
        assert {psutil.Process(ping(worker)).ppid() for worker in workers} == {SHARED.pid}
        assert len({worker.pid for worker in workers}) == 2
    finally:
        for worker in workers:
            worker.stop()


def test_the_server_has_one_thread_and_reads_no_request(server: ForkServer) -> None:
    """Else a fork could inherit a lock that nobody lets go of."""
    with started(server) as worker:
        ping(worker)
        assert server.pid is not None
        assert psutil.Process(server.pid).num_threads() == 1
        assert sorted(target.partition(":")[0] for target in files(server.pid).values()) == [
            os.devnull,
            os.devnull,
            "anon_inode",  # the worker's pidfd
            "socket",  # requests
            "socket",  # where the worker's end is told
        ]


SPLIT = """
import random, sys, threading, numpy
from pipeline.serving.worker.launch.forking import fork_workers
random.seed(1)
numpy.random.seed(1)
if "threads" in sys.argv:
    threading.Thread(target=threading.Event().wait, daemon=True).start()
if "stopped" in sys.argv and "--fork" in sys.argv:
    threading.Event().wait()
if "--fork" in sys.argv:
    fork_workers()
print(random.random(), numpy.random.random(), flush=True)
sys.stdin.read()
"""


def split(*arguments: str) -> ForkServer:
    """A server without the imports, whose workers draw two numbers."""
    return ForkServer((sys.executable, "-P", "-c", SPLIT, *arguments))


def drawn(by: Launcher, home: Path) -> list[bytes]:
    child = by.start(home, niceness=0)
    assert child.stdout is not None
    found = child.stdout.readline().split()
    end_process(child)
    return found


def test_a_server_that_is_killed(tmp_path: Path) -> None:
    """Its workers go on, and the next one has another server; how the old ones end is seen by nobody."""
    server = split()
    old, killed = server.start(tmp_path, niceness=0), server.pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    new = server.start(tmp_path, niceness=0)
    assert psutil.Process(new.pid).ppid() == server.pid != killed
    assert old.poll() is None
    assert [ending(end_process(each)) for each in (old, new)] == ["nobody saw how", "exit code 0"]


def test_a_worker_that_crashes(tmp_path: Path) -> None:
    """The next one has another server, and other addresses; the others have theirs until they end."""
    server = split()
    other, killed = (server.start(tmp_path, niceness=0) for _ in range(2))
    first = server.pid
    assert first is not None
    killed.kill()
    assert end_process(killed) == -signal.SIGKILL
    crashed = server.start(tmp_path, niceness=0)
    assert (server.pid, addresses(crashed.pid)) == (first, addresses(other.pid))
    os.kill(crashed.pid, signal.SIGSEGV)
    assert end_process(crashed) == -signal.SIGSEGV
    after = server.start(tmp_path, niceness=0)
    assert psutil.Process(after.pid).ppid() == server.pid != first
    assert addresses(after.pid) != addresses(other.pid)
    assert other.poll() is None
    assert [end_process(each) for each in (other, after)] == [0, 0]
    until(lambda: has_ended(first))


def addresses(pid: int) -> list[str]:
    """Where the parts of the C library lie."""
    lines = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines()
    return [line.split()[0] for line in lines if "libc.so" in line]


def test_workers_do_not_draw_the_same_numbers(tmp_path: Path) -> None:
    """A model that draws without a seed draws others in each."""
    server = split()
    assert len({number for _ in range(2) for number in drawn(server, tmp_path)}) == 4


def test_a_server_with_threads_is_not_split(tmp_path: Path) -> None:
    """Workers start as on other systems, from then on."""
    server = split("threads")
    assert server.prepare()
    assert len(drawn(server, tmp_path)) == 2
    assert not server.prepare()


def test_a_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Is ended, and said not to start."""
    monkeypatch.setattr(fork_server, "START_SECONDS", 0.1)
    monkeypatch.setattr(fork_server, "END_SECONDS", 0.1)
    server = split("stopped")
    with started(server) as worker, pytest.raises(Unavailable, match=r"does not start \(SIGKILL\)"):
        ping(worker)
    assert server.pid is None


def test_a_home_that_is_gone(server: ForkServer, tmp_path: Path) -> None:
    """Costs that worker, not the server."""
    child = server.start(tmp_path / "gone", niceness=0)
    assert child.wait(SECONDS) == 1
    end_process(child)
    with started(server) as worker:
        assert ping(worker)


def test_a_worker_that_is_killed_while_its_server_starts() -> None:
    """Does not start after all."""
    server = ForkServer()
    with started(server) as worker, ThreadPoolExecutor(1) as thread:
        asked = thread.submit(ping, worker)
        until(lambda: server.pid is not None)
        worker.kill()
        with pytest.raises(Unavailable, match="the worker: has ended"):
            asked.result()
    until(lambda: children(server) == [])


def test_a_caller_that_splits_itself() -> None:
    """Its fork has no part in the server, which ends with the caller although the fork goes on."""
    program = (
        "import os, sys; from pipeline.serving.worker.launch.fork_server import SHARED; SHARED.prepare()\n"
        "print(SHARED.pid, flush=True)\n"
        "if not os.fork(): print(SHARED.pid, flush=True)\n"
        "sys.stdin.read()"
    )
    with calling(program) as caller:
        assert caller.stdout
        pid, of_fork = int(caller.stdout.readline()), caller.stdout.readline()
        assert of_fork == "None\n"
        caller.kill()
        until(lambda: has_ended(pid))


def test_where_there_are_no_pidfds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each worker is a process of its own."""
    launcher.cache_clear()
    monkeypatch.delattr(os, "pidfd_open")
    try:
        assert isinstance(launcher(), OwnProcess)
    finally:
        launcher.cache_clear()
