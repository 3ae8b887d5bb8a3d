"""Which file is scored into which: what IN and OUT of the command line mean."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.governance.errors import InvalidInput
from pipeline.serving.batch.inputs import BAD, Place, shown
from pipeline.serving.batch.read import KINDS, kind_of

PATTERN = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Job:
    """One file to be scored."""

    source: Place
    target: Place

    @property
    def bad(self) -> Place:
        return self.target.folder / f"{self.target.name}{BAD}"


def jobs(given: str, wanted: str) -> list[Job]:
    """IN is a file, a folder or a pattern, OUT a file for one input, else a folder, which need not exist.

    Raises InvalidInput where they do not fit each other.
    """
    source, target = Place.at(given), Place.at(wanted)
    sources, several = _sources(source, given)
    if not sources:
        raise InvalidInput(
            f"{shown(given)}: there is no file whose name ends in {', '.join(KINDS[:-1])} or {KINDS[-1]}"
        )
    if _is_folder(target, wanted, several=several):
        found = [Job(each, target / each.name) for each in sources]
    elif len(sources) == 1:
        found = [Job(sources[0], target)]
    else:
        raise InvalidInput(f"{shown(wanted)}: must be a folder, for {len(sources)} files")
    for position, job in enumerate(found):
        _check(job, found[:position])
    return found


def _sources(source: Place, given: str) -> tuple[list[Place], bool]:
    """The files, and whether IN stands for several, of which there may be one."""
    if PATTERN.search(given) and not source.exists():
        return source.matches(), True
    if source.is_folder():
        return source.files(), True
    return [source], False


def _is_folder(target: Place, wanted: str, *, several: bool) -> bool:
    if wanted.endswith("/") or target.is_folder():
        return True
    return several and not target.name.casefold().endswith(KINDS)


def _check(job: Job, before: Sequence[Job]) -> None:
    """Told before anything is scored."""
    kind_of(job.source.name)
    kind_of(job.target.name)
    if same := [each for each in before if each.target == job.target]:
        raise InvalidInput(f"{job.source} and {same[0].source}: would both be written to {job.target}")
    here, there = job.source.local, job.target.local
    same_file = here and there and here.exists() and there.exists() and here.samefile(there)
    if same_file or job.source in {job.target, job.bad}:
        raise InvalidInput(f"{job.target}: needs a name other than the input's")
    if there and not there.parent.parent.is_dir():
        raise InvalidInput(f"{job.target}: needs a folder that exists")
