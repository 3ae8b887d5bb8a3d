"""`params.yaml` as data with the line of every key, and what is wrong in it as one sentence."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import ErrorDetails

from pipeline.governance.errors import InvalidInput

KeyPath = tuple[str | int, ...]
UNKNOWN, MISSING = "extra_forbidden", "missing"
PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C: 1 ms of each start where Python takes 17
WORDS = {UNKNOWN: "is not a known key", MISSING: "is missing"}


@dataclass(frozen=True)
class ParamsFile:
    """A parsed settings file."""

    # Its name without folders, for messages.
    name: str
    content: dict[str, Any]
    # From the path of a key or list item to its line, counted from 1.
    lines: Mapping[KeyPath, int]

    def problem(self, error: ValidationError) -> InvalidInput:
        """The first problem as a sentence; a misspelt key comes before the one that it leaves missing."""
        found = error.errors(include_url=False)
        first = min(found, key=lambda each: each["type"] != UNKNOWN)
        path = self._path_in_file(first)
        line = self.lines.get(path) or self.lines.get(path[:-1])
        where = f" (line {line})" if line else ""
        sentence = WORDS.get(first["type"]) or first["msg"].removeprefix("Value error, ")
        return InvalidInput(f"{self.name}: {'.'.join(map(str, path))}: {sentence}{where}")

    def _path_in_file(self, problem: ErrorDetails) -> KeyPath:
        """The path in the file, without the names that pydantic adds for the kind of column it took an entry for."""
        path: KeyPath = ()
        for part in problem["loc"]:
            if (*path, part) in self.lines:
                path = (*path, part)
        return (*path, problem["loc"][-1]) if problem["type"] == MISSING else path


def read_params(file: Path) -> ParamsFile:
    """Raises InvalidInput for a file that is not there, no mapping, not YAML, or says a key twice."""
    try:
        node = yaml.compose(file.read_text(encoding="utf-8"), PARSER)
        content = {} if node is None else yaml.SafeLoader("").construct_document(node)
    except OSError as error:
        raise InvalidInput(f"{file}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file.name}: is not valid YAML ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict) or not content:
        raise InvalidInput(f"{file.name}: must be a mapping of sections such as data, schema and policy")
    lines: dict[KeyPath, int] = {}
    for path, line in _key_paths(node, ()):
        if path in lines:
            named = ".".join(map(str, path))
            raise InvalidInput(f"{file.name}: {named}: is there twice (lines {lines[path]} and {line})")
        lines[path] = line
    return ParamsFile(file.name, content, lines)


def _key_paths(node: yaml.Node | None, path: KeyPath) -> Iterator[tuple[KeyPath, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield (*path, key.value), key.start_mark.line + 1
            yield from _key_paths(value, (*path, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*path, index), value.start_mark.line + 1
            yield from _key_paths(value, (*path, index))


# What a section of `params.yaml` is, and the types that its values have.

MOST_CHARACTERS = 2_000  # of a text that a card shows
Share = Annotated[float, Field(gt=0, lt=1)]
Word = Annotated[str, StringConstraints(min_length=1)]
Sentences = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MOST_CHARACTERS)]


def _different(words: list[str]) -> list[str]:
    twice = sorted({word for word in words if words.count(word) > 1})
    if twice:
        raise ValueError(f"{', '.join(twice)} is there twice")
    return words


def _ascending(edges: list[float]) -> list[float]:
    if any(low >= high for low, high in pairwise(edges)):
        raise ValueError("must ascend")
    return edges


# MLflow's own rules of `mlflow.utils.validation`, which it applies only when a model is registered or logged.


def _model_name(name: str) -> str:
    if not name.strip() or name == "." or name.startswith("..") or set(name) & set("/:"):
        raise ValueError(f"MLflow takes no model name that is empty, has / or : in it, or begins with ..; got {name!r}")
    return name


def _candidate_name(name: str) -> str:
    if not name or set(name) & set("/:.%\"'"):
        raise ValueError(f"MLflow takes no candidate that is empty or has one of / : . % \" ' in it; got {name!r}")
    return name


ModelName = Annotated[str, AfterValidator(_model_name)]
CandidateName = Annotated[str, AfterValidator(_candidate_name)]
Words = Annotated[list[Word], AfterValidator(_different)]
Edges = Annotated[list[float], AfterValidator(_ascending)]


class SettingsSection(BaseModel):
    """Strict about types and keys: a misspelt key is an error, never a silent default."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
