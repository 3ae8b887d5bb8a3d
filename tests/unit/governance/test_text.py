"""Text from strangers."""

import pytest

from pipeline.governance.text import MINUS, figure, first_line, minus, signed, visible


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


@pytest.mark.parametrize(
    ("value", "metric", "difference"),
    [(0.5, "0.5000", "+0.5000"), (-0.5, f"{MINUS}0.5000", f"{MINUS}0.5000"), (-0.00001, "0.0000", "0.0000")],
)
def test_figures_have_a_real_minus_and_zero_has_no_sign(value: float, metric: str, difference: str) -> None:
    """The same in every sentence and table; what rounds to zero is zero."""
    assert (figure(value), signed(value), minus("-1")) == (metric, difference, f"{MINUS}1")
