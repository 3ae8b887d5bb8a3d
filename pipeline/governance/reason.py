"""How long the reason of a decision must and may be."""

from pipeline.governance.errors import InvalidInput

FEWEST_REASON_CHARACTERS, MOST_REASON_CHARACTERS = 10, 2_000
REASON_LENGTH = f"{FEWEST_REASON_CHARACTERS} to {MOST_REASON_CHARACTERS:,} characters"


def check_reason(reason: str) -> str:
    """The reason without surrounding space. Raises InvalidInput when it is shorter or longer than allowed."""
    text = reason.strip()
    if not FEWEST_REASON_CHARACTERS <= len(text) <= MOST_REASON_CHARACTERS:
        raise InvalidInput(f"reason: {len(text)} characters given, {REASON_LENGTH} are allowed")
    return text
