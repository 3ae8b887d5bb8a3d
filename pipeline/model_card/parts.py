"""What a card is made of."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Table:
    """Rows as long as `heads`, every cell as text for people."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Section:
    """missing: one sentence per part that the registry does not have."""

    title: str
    sentences: tuple[str, ...] = ()
    table: Table | None = None
    missing: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        table = self.table and [dict(zip(self.table.heads, row, strict=True)) for row in self.table.rows]
        return {
            "title": self.title,
            "sentences": list(self.sentences),
            "table": table or [],
            "missing": list(self.missing),
        }


@dataclass(frozen=True)
class Card:
    """One version's card; the text is as it came, one line each, and is escaped where it is rendered."""

    title: str
    sections: tuple[Section, ...]

    def as_json(self) -> dict[str, Any]:
        return {"title": self.title, "sections": [section.as_json() for section in self.sections]}
