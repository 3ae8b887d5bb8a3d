"""YAML and JSON from strangers, counted before anything is built of it: depth, entries, references, sizes of numbers.

A YAML parser composes recursively, and 50,000 brackets end the process; references write a few hundred bytes out to
more than any memory, so each counts as what it stands for. Dates and other values that JSON does not have stay text.
"""

import io
import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import yaml

Json = Any
MOST_DEPTH = 50
MOST_YAML_ENTRIES = 10_000
MOST_JSON_ENTRIES = 200_000
MOST_DIGITS = 1_000
LARGEST_POWER = 40  # of ten: a YAML number beyond it is none that a model's description has
# A string that does not end is passed over once, not again from each of its quotation marks.
JSON_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
JSON_DELIMITER = re.compile(r"[\[\]{},:]")
PLAIN_TAGS = (None, "!", "tag:yaml.org,2002:str", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
SPECIAL = {"null": r"~|null|Null|NULL|", "bool": r"true|True|TRUE|false|False|FALSE|yes|Yes|no|No|on|On|off|Off"}
NUMBERS = {"int": r"[-+]?(?:0|[1-9][0-9]{0,39})", "float": r"[-+]?[0-9]{1,40}\.[0-9]{0,40}(?:[eE][-+]?[0-9]{1,3})?"}
# The pure Python parser is a hundred times slower.
Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(Base):  # type: ignore[misc]
    """Plain words are text, but for those that JSON has too."""

    yaml_implicit_resolvers: dict[str | None, list[Any]] = {}  # noqa: RUF012 (PyYAML's own way)


for _name, _pattern in {**SPECIAL, **NUMBERS}.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(rf"(?:{_pattern})\Z"), None)


def read_yaml(content: bytes) -> Json:
    """The document as JSON would hold it. Raises ValueError with a reason that quotes nothing of the document."""
    try:
        _check_events(yaml.parse(content, Loader=_Loader))
        return _plain(yaml.load(content, Loader=_Loader))  # noqa: S506 (a safe loader)
    except yaml.YAMLError as error:
        raise ValueError("it is not valid YAML") from error


def read_json(content: bytes | str, *, most_entries: int = MOST_JSON_ENTRIES, not_finite: bool = False) -> Json:
    """The parsed document. Raises ValueError with a reason that quotes nothing of the document.

    not_finite: whether NaN and Infinity are numbers, as in the input examples that MLflow writes; JSON has none.
    """
    try:
        text = content if isinstance(content, str) else content.decode()
    except UnicodeDecodeError as error:
        raise ValueError("it is not UTF-8") from error
    _check_size(text, most_entries)
    try:
        found = json.loads(
            text, parse_constant=float if not_finite else _not_finite, parse_float=_finite, parse_int=_whole
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not valid JSON at line {error.lineno}, column {error.colno}") from error
    if "\\u" in text:
        try:
            json.dumps(found, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:  # half of a surrogate pair is no text that can be kept
            raise ValueError("it has half of a character") from error
    return found


def _check_events(events: Iterator[Any]) -> None:
    size = _Size()
    for event in events:
        if isinstance(event, yaml.NodeEvent) and getattr(event, "tag", None) not in PLAIN_TAGS:
            raise ValueError("it asks for a type of its own")
        size.add(event)


class _Size:
    """Depth and number of entries of a YAML document as if its references were written out."""

    def __init__(self) -> None:
        self._entries = 0
        self._open: list[tuple[str | None, int, list[int]]] = []  # anchor, entries before it, levels below it
        self._named: dict[str, tuple[int, int]] = {}  # by anchor: entries and levels of what it stands for

    def add(self, event: Any) -> None:  # noqa: ANN401 (PyYAML's events)
        """Raises ValueError as soon as a limit is passed."""
        if isinstance(event, yaml.CollectionEndEvent):
            self._close()
        elif isinstance(event, yaml.CollectionStartEvent):
            self._count(1, 1)
            self._open.append((event.anchor, self._entries - 1, [0]))
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._named:
                raise ValueError("it refers to a part of itself that has not ended")
            self._count(*self._named[event.anchor])
        elif isinstance(event, yaml.ScalarEvent):
            self._count(1, 0)
            if event.anchor:
                self._named[event.anchor] = (1, 0)

    def _close(self) -> None:
        anchor, before, levels = self._open.pop()
        self._below(levels[0] + 1)
        if anchor:
            self._named[anchor] = (self._entries - before, levels[0] + 1)

    def _count(self, entries: int, levels: int) -> None:
        self._entries += entries
        if self._entries > MOST_YAML_ENTRIES:
            raise ValueError(f"it has more than {MOST_YAML_ENTRIES:,} entries")
        _check_depth(len(self._open) + levels)
        self._below(levels)

    def _below(self, levels: int) -> None:
        """Notes that the innermost open collection goes this many levels deep."""
        if self._open:
            deepest = self._open[-1][2]
            deepest[0] = max(deepest[0], levels)


def _check_size(text: str, most: int) -> None:
    """Counts depth and entries by the brackets and commas outside of strings, before anything is built."""
    depth = count = 0
    for delimiter in JSON_DELIMITER.finditer(JSON_STRING.sub("", text)):
        which = delimiter[0]
        depth += (which in "[{") - (which in "]}")
        count += which in "[{,"
        _check_depth(depth)
        if count > most:
            raise ValueError(f"it has more than {most:,} entries")


def _check_depth(depth: int) -> None:
    if depth > MOST_DEPTH:
        raise ValueError(f"it is nested too deep: more than {MOST_DEPTH} levels")


def _plain(value: object) -> Json:
    """The document with keys as JSON has them. There are no references, so this ends."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else _key(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, int | float) and not abs(value) < 10**LARGEST_POWER:
        raise ValueError("a number is too large")
    return value


def _key(key: object) -> str:
    if key is None or isinstance(key, bool | int | float):
        return json.dumps(key)
    raise ValueError("a key is not text")


def _not_finite(literal: str) -> NoReturn:
    raise ValueError(f"{literal} is not a number that JSON has")


def _finite(text: str) -> float:
    """The parsed number. Raises ValueError for 1e999, which is well-formed, and an infinity."""
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError("a number is too large")
    return number


def _whole(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise ValueError("a number is too large")
    return int(text)


# Zip archives that came with a version: counted before they are listed, listed before they are read.

ENTRY = b"PK\x01\x02"  # begins each entry of the directory at the end
RATIO_FROM = 50 * 2**20  # bytes: what unpacks to less may be packed as well as it can be
MOST_RATIO = 100


def members_of(data: bytes, *, most_members: int, most_bytes: int) -> Sequence[zipfile.ZipInfo]:
    """The members of a zip archive. Raises ValueError where they are too many or unpack to too much, else as zipfile.

    The declared sizes can be believed: zipfile stops reading a member there, and the checksum then fails.
    """
    if data.count(ENTRY) > most_members:
        raise ValueError(f"it has more than {most_members:,} members")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
    unpacked = sum(member.file_size for member in members)
    if unpacked > most_bytes:
        raise ValueError(f"it unpacks to more than {most_bytes // 2**20} MB")
    if unpacked > RATIO_FROM and unpacked > MOST_RATIO * len(data):
        raise ValueError(f"it unpacks to more than {MOST_RATIO} times its size")
    if len({member.filename for member in members}) < len(members):
        raise ValueError("it has two members of the same name")
    return members
