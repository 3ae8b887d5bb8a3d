"""A PostgreSQL server of the tests' own, on a socket in a temporary folder; it ends with whoever started it."""

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

SUPERUSER = "postgres"
# What a crash of the machine would lose is no matter here; what a killed server has committed stays all the same.
OPTIONS = "-c listen_addresses= -c fsync=off -c max_connections=200"
# Stops the server when whoever started it closes its end, or is no more.
KEEPER = (
    'while read -r _; do :; done; "$1/pg_ctl" stop --pgdata="$2/data" --mode=immediate >/dev/null 2>&1; rm -rf "$2"'
)


class PostgresServer:
    """A running server; psycopg and the ledger reach it by `url`."""

    def __init__(self, programs: Path, folder: Path, account: Mapping[str, Any]) -> None:
        self.programs, self.folder, self._account = programs, folder, account

    def url(self, database: str = "postgres", *, user: str = SUPERUSER, schema: str | None = None) -> str:
        path = f"&options=-csearch_path%3D{schema}" if schema else ""
        return f"postgresql+psycopg://{user}@/{database}?host={self.folder}{path}"

    def execute(
        self, *statements: str, database: str = "postgres", user: str = SUPERUSER, schema: str | None = None
    ) -> None:
        """Each as a transaction of its own, or a script in one."""
        options = f"-csearch_path={schema}" if schema else ""
        with psycopg.connect(
            host=str(self.folder), user=user, dbname=database, autocommit=True, options=options
        ) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def new_schema(self) -> str:
        """The name of an empty one in the database `postgres`: a database would be a thousand files."""
        name = f"ledger_{uuid.uuid4().hex[:12]}"
        self.execute(f"CREATE SCHEMA {name}")
        return name

    def restart(self, mode: str = "immediate") -> None:
        """immediate: as after a crash, in which every connection breaks."""
        self.control("restart", f"--mode={mode}", f"--log={self.folder / 'log'}", f"--options={self.options}")

    def control(self, *arguments: str) -> None:
        self.run("pg_ctl", *arguments, f"--pgdata={self.folder / 'data'}", "--silent")

    @property
    def options(self) -> str:
        return f"{OPTIONS} -k {self.folder}"

    @property
    def process(self) -> int:
        """The number of the server's first process."""
        return int((self.folder / "data" / "postmaster.pid").read_text().split()[0])

    def run(self, program: str, *arguments: str) -> None:
        """One of PostgreSQL's own programs, as the user that the server runs as."""
        command = [str(self.programs / program), *arguments]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False, **self._account)
        assert done.returncode == 0, f"{program}: {done.stderr}"


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Its programs are those that .ci/install-services found or installed."""
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="signoff-pg-"))  # short: the path of a socket has an end
    account = _account()
    if account:
        os.chown(folder, account["user"], account["group"])
    server = PostgresServer(programs, folder, account)
    keeper = subprocess.Popen(
        ["sh", "-c", KEEPER, "sh", str(programs), str(folder)], stdin=subprocess.PIPE, cwd="/", **account
    )
    try:
        server.run(
            "initdb",
            *("--auth=trust", f"--username={SUPERUSER}", "--encoding=UTF8", "--no-locale", "--no-sync"),
            f"--pgdata={folder / 'data'}",
        )
        server.control("start", f"--log={folder / 'log'}", f"--options={server.options}")
        yield server
    finally:
        keeper.communicate()


def _programs() -> Path:
    """$TEST_POSTGRES, Debian's newest, those on the path, or those that .ci/install-services installed."""
    caches = [Path("/var/cache"), Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")]
    found: Sequence[Path] = [
        *([Path(os.environ["TEST_POSTGRES"])] if "TEST_POSTGRES" in os.environ else []),
        *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True),
        *([Path(server).resolve().parent] if (server := shutil.which("postgres")) else []),
        *(cache / "signoff" / "postgres" / "bin" for cache in caches),
    ]
    there = next((each for each in found if (each / "initdb").exists() and (each / "postgres").exists()), None)
    if there is None:
        raise RuntimeError("no PostgreSQL server: run .ci/install-services, or set TEST_POSTGRES to its bin folder")
    return there


def _account() -> dict[str, Any]:
    """PostgreSQL refuses root: another user in its place, and nothing where it is not needed."""
    if os.getuid() != 0:
        return {}
    names = {each.pw_name for each in pwd.getpwall()}
    user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    environment = {**os.environ, "HOME": "/"}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "env": environment}
