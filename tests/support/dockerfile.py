"""Executes a Dockerfile without a container engine: each stage in a folder, its steps as the shell would run them.

It knows the instructions that ours uses and refuses every other. What it cannot be faithful about: the base image is
this machine with another PATH, and absolute paths lie below the folder. When a stage begins, the folder of the one
before is moved aside, so that paths written into files in one stage hold in the next.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pathspec

FLAG = re.compile(r"--(\w[\w-]*)=(\S+)\s+")
PASSED_ON = re.compile(r"(PIP_\w+|\w+_proxy|\w+_PROXY|SSL_CERT_FILE)")


@dataclass
class Image:
    """What a stage has become: its folder as the file system's root, and what a container would be started with."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: str = ""
    volumes: list[str] = field(default_factory=list)
    entry: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)

    def path(self, inside: str) -> Path:
        return (
            self.root / inside.lstrip("/") if inside.startswith("/") else self.root / self.folder.lstrip("/") / inside
        )

    def outside(self, text: str) -> str:
        """A text with absolute paths of the image, as it reads on this machine."""
        return text.replace("/opt/signoff", str(self.root / "opt/signoff"))


def instructions(dockerfile: str) -> Iterator[tuple[str, str]]:
    """Keyword and rest, with comments left out and continued lines joined."""
    lines = [line for line in dockerfile.splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if line.strip():
            keyword, _, rest = line.partition(" ")
            yield keyword, rest.strip()


class Build:
    """`image` after `run()` is the last stage."""

    def __init__(self, context: Path, scratch: Path) -> None:
        self._context, self._scratch = context, scratch
        patterns = (context / ".dockerignore").read_text(encoding="utf-8").splitlines()
        # As Git reads them, except that Docker's begin at the top.
        rooted = [re.sub(r"^(!?)(?=[^!#*]|\*[^*]|\*$)", r"\1/", each) for each in patterns]
        self._ignored = pathspec.GitIgnoreSpec.from_lines(rooted)
        self._stages: dict[str, Image] = {}
        self._arguments: dict[str, str] = {}
        self._name = ""
        self.image = Image(scratch / "root")

    def run(self) -> Image:
        for keyword, rest in instructions((self._context / "Dockerfile").read_text(encoding="utf-8")):
            getattr(self, f"_{keyword.lower()}")(rest)
        return self.image

    def _arg(self, rest: str) -> None:
        name, _, value = rest.partition("=")
        self._arguments[name] = value

    def _from(self, rest: str) -> None:
        base, _, name = rest.partition(" AS ")
        assert self._expanded(base, self._arguments).startswith("python:")
        if self.image.root.exists():
            self._stages[self._name] = self.image
            self.image.root = self.image.root.rename(self._scratch / f"stage-{self._name}")
        self._name, self.image = name, Image(self._scratch / "root")
        self.image.environment = {"PATH": f"{_base_python(self.image)}:/usr/bin:/bin"}

    def _workdir(self, rest: str) -> None:
        self.image.folder = rest
        self.image.path(rest).mkdir(parents=True, exist_ok=True)

    def _env(self, rest: str) -> None:
        for pair in shlex.split(rest):
            name, _, value = pair.partition("=")
            self.image.environment[name] = self.image.outside(self._expanded(value, self.image.environment))

    def _label(self, rest: str) -> None:
        assert all("=" in pair for pair in shlex.split(rest))

    def _copy(self, rest: str) -> None:
        flags = dict(FLAG.findall(rest))
        *sources, target = shlex.split(FLAG.sub("", rest))
        stage = self._stages[flags["from"]] if "from" in flags else None
        for source in sources:
            found = stage.path(source) if stage else self._context / source
            into = self.image.path(target)
            into = into / found.name if target.endswith("/") and found.is_file() else into
            for file in [found] if found.is_file() else sorted(found.rglob("*")):
                if stage or not self._ignored.match_file(str(file.relative_to(self._context))):
                    _copy_one(file, into / file.relative_to(found))
            into.mkdir(exist_ok=True) if found.is_dir() else None
            self._set_rights(into, flags)

    def _set_rights(self, target: Path, flags: Mapping[str, str]) -> None:
        if "chmod" in flags:
            target.chmod(int(flags["chmod"], 8))
        if "chown" in flags and os.geteuid() == 0:
            os.chown(target, *map(int, flags["chown"].split(":")))

    def _run(self, rest: str) -> None:
        subprocess.run(
            ["/bin/sh", "-c", self.image.outside(rest)],
            cwd=self.image.path(self.image.folder),
            env=self._passed_on() | self.image.environment,
            check=True,
            capture_output=True,
        )

    def _passed_on(self) -> dict[str, str]:
        """What a machine needs to reach its package index."""
        return {name: value for name, value in os.environ.items() if PASSED_ON.fullmatch(name)}

    def _user(self, rest: str) -> None:
        self.image.user = rest

    def _volume(self, rest: str) -> None:
        self.image.volumes = json.loads(rest)

    def _expose(self, rest: str) -> None:
        assert all(port.isdigit() for port in rest.split())

    def _healthcheck(self, rest: str) -> None:
        self.image.health = json.loads(rest.partition("CMD ")[2])

    def _entrypoint(self, rest: str) -> None:
        self.image.entry = json.loads(rest)

    def _cmd(self, rest: str) -> None:
        self.image.command = json.loads(rest)

    @staticmethod
    def _expanded(text: str, values: Mapping[str, str]) -> str:
        return re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], text)


def _base_python(image: Image) -> str:
    """The folder where the base image has `python`. No link: a virtual environment would look for its home there."""
    folder = image.path("/usr/local/bin")
    folder.mkdir(parents=True)
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(os.path.realpath(sys.executable))} "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    return str(folder)


def _copy_one(source: Path, target: Path) -> None:
    if source.is_dir() and not source.is_symlink():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target, follow_symlinks=False)
