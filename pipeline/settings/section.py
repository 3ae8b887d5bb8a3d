"""What a section of `params.yaml` is, and the types that its values have."""

from itertools import pairwise
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

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


Words = Annotated[list[Word], AfterValidator(_different)]
Edges = Annotated[list[float], AfterValidator(_ascending)]


class Section(BaseModel):
    """Strict about types and keys: a misspelt key is an error, never a silent default."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
