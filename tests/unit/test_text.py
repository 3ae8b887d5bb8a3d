"""Text from strangers."""

import pytest

from pipeline.governance.text import visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("Größe 3 kg", "Größe 3 kg"),
        ("a\u202eb", "a\\u202eb"),
        ("two\nlines", "two\\nlines"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("lone \ud800", "lone \\ud800"),
    ],
)
def test_what_cannot_be_seen_is_written_as_an_escape(text: str, shown: str) -> None:
    """No reading direction is turned, no line added, no terminal steered."""
    assert shown == visible(text)


def test_long_text_is_cut_with_an_ellipsis() -> None:
    """Exactly as long as allowed."""
    assert visible("abcdef", most=4) == "abc…"
    assert visible("abcd", most=4) == "abcd"
