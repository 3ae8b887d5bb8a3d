"""How long the reason of a decision, and a comment, must and may be."""

from pipeline.governance.errors import InvalidInput

FEWEST_REASON_CHARACTERS, MOST_REASON_CHARACTERS = 10, 2_000
REASON_LENGTH = f"{FEWEST_REASON_CHARACTERS} to {MOST_REASON_CHARACTERS:,} characters"


def check_reason(reason: str) -> str:
    """The reason without surrounding space. Raises InvalidInput when it is shorter or longer than allowed."""
    text = reason.strip()
    if not FEWEST_REASON_CHARACTERS <= len(text) <= MOST_REASON_CHARACTERS:
        raise InvalidInput(f"reason: {len(text)} characters given, {REASON_LENGTH} are allowed")
    return text


def check_comment(text: str) -> str:
    """The text without surrounding space. Raises InvalidInput when there is none, or it is longer than allowed."""
    found = text.strip()
    if not 1 <= len(found) <= MOST_REASON_CHARACTERS:
        raise InvalidInput(f"comment: {len(found)} characters given, 1 to {MOST_REASON_CHARACTERS:,} are allowed")
    return found
