"""The settings of who people are, and the roles that are read again whenever the file changes."""

import threading
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from pipeline.governance.errors import InvalidInput, NotAllowed
from pipeline.governance.roles import Provider, Roles
from pipeline.settings.file import SettingsSection, Word, read_params
from pipeline.settings.policy import RoleSettings

HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]*$")]
OwnPath = Annotated[str, StringConstraints(pattern=r"^/[^/\\\s]\S*$")]


class ProxySettings(SettingsSection):
    """By which headers a proxy in front of the dashboard says who somebody is."""

    user: HeaderName = "X-Forwarded-User"
    # Names with commas between them.
    groups: HeaderName = "X-Forwarded-Groups"
    # What people are called, which tells nobody apart; null: the proxy does not say, and the user's name is shown.
    name: HeaderName | None = None
    # Holds SIGNOFF_PROXY_SECRET, by which a request is known to have come through the proxy.
    secret_header: HeaderName = "X-Signoff-Proxy-Secret"  # noqa: S105 (the name of a header)
    # Where the proxy logs people out, such as /oauth2/sign_out; null: nowhere.
    logout: OwnPath | None = None

    @model_validator(mode="after")
    def headers_differ(self) -> Self:
        listed = list(filter(None, (self.user, self.groups, self.name, self.secret_header)))
        if len({each.lower() for each in listed}) < len(listed):
            raise ValueError("user, groups, name and secret_header must be different headers")
        return self


class IdentitySettings(SettingsSection):
    """How people prove who they are."""

    # "local": they do not, and decide only at this machine; "oidc": they log in; "proxy": a proxy in front says who.
    provider: Provider = Field(default=Provider.LOCAL, strict=False)
    # From logins in MLflow (`mlflow.user`) to subjects here. A login is anybody's word: it can keep somebody from
    # approving their own version, and never lets anybody approve.
    logins: dict[Word, Word] = Field(default_factory=dict)
    # How old a login by "oidc" may be when something is decided; null: as old as the session.
    fresh_minutes: int | None = Field(default=15, ge=1, le=24 * 60)
    # In which claim of the ID token the groups are.
    groups_claim: Word = "groups"
    proxy: ProxySettings = Field(default_factory=ProxySettings)

    @property
    def fresh(self) -> timedelta | None:
        return None if self.fresh_minutes is None else timedelta(minutes=self.fresh_minutes)


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
