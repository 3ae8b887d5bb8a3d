"""Text from strangers."""

import pytest

from pipeline.governance.text import first_line, visible


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


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("\n first\nsecond"), "first"),
        (ValueError(), "ValueError"),
        (ValueError("a\u202eb"), "a\\u202eb"),
        (ValueError("x" * 300), "x" * 199 + "…"),
        ("", ""),
    ],
)
def test_the_first_line_of_an_error(error: BaseException | str, line: str) -> None:
    """One line that is safe to show, and the class where an error has no words."""
    assert first_line(error) == line
