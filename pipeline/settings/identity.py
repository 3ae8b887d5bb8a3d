"""The settings of who people are, and the roles that are read again whenever the file changes."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.governance.errors import InvalidInput, NotAllowed
from pipeline.governance.roles import Provider, Roles
from pipeline.settings.file import SettingsSection, read_params
from pipeline.settings.policy import RoleSettings


class IdentitySettings(SettingsSection):
    """How people prove who they are."""

    # "local": they do not, and decide only at this machine; "oidc": they log in; "proxy": a proxy in front says who.
    provider: Provider = Field(default=Provider.LOCAL, strict=False)


class _PolicyOfFile(BaseModel):
    """Of section policy what is read again."""

    model_config = ConfigDict(strict=True)
    roles: RoleSettings


class _RolesOfFile(BaseModel):
    """Of the file what is read again: the rest holds until the desk is started anew."""

    model_config = ConfigDict(strict=True)
    policy: _PolicyOfFile


def read_roles(file: Path) -> Roles:
    """Section `policy.roles` of a file. Raises InvalidInput with the path and line of the offending key."""
    params = read_params(file)
    try:
        return _RolesOfFile.model_validate(params.content).policy.roles.roles()
    except ValidationError as error:
        raise params.problem(error) from error


@dataclass
class FileRoles:
    """The port RoleBook over a settings file, which is asked for its size and time at each use, by no thread."""

    file: Path
    last: Roles  # that could be read
    _mark: tuple[int, ...] | None = field(default=None, init=False)  # of the file as it was read
    _problem: str | None = field(default=None, init=False)  # why it cannot be read now
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def now(self) -> Roles:
        roles, problem = self._look()
        if problem is not None:
            raise NotAllowed(f"actor: nobody may decide while the roles cannot be read: {problem}")
        return roles

    def known(self) -> Roles:
        return self._look()[0]

    def _look(self) -> tuple[Roles, str | None]:
        with self._lock:
            if (mark := _mark_of(self.file)) != self._mark or mark is None:
                self._read()
                self._mark = mark
            return self.last, self._problem

    def _read(self) -> None:
        try:
            self.last, self._problem = read_roles(self.file), None
        except InvalidInput as error:
            self._problem = str(error)


def _mark_of(file: Path) -> tuple[int, ...] | None:
    """What differs where a file was written again or replaced; None where it cannot be asked."""
    try:
        found = file.stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)
