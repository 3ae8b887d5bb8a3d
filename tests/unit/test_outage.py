"""A registry that has just not answered is left alone for a moment."""

import pytest

from pipeline.adapters.mlflow.errors import OPEN_SECONDS, CircuitBreaker
from pipeline.governance.errors import NotFound, Unavailable

SENTENCE = "The registry does not answer."


def failing(outage: CircuitBreaker) -> None:
    with outage.guard():
        raise Unavailable(SENTENCE)


def test_who_waited_is_told_at_once():
    """The next call is not made, and says what the last one said; after a second it is made again."""
    now = 100.0
    outage = CircuitBreaker(lambda: now)
    with pytest.raises(Unavailable):
        failing(outage)

    with pytest.raises(Unavailable, match=SENTENCE), outage.guard():
        pytest.fail("the registry was asked")

    now += OPEN_SECONDS
    with outage.guard():
        pass


def test_being_told_at_once_lengthens_nothing():
    """However many ask meanwhile, the registry is asked again a second after it did not answer."""
    now = 100.0
    outage = CircuitBreaker(lambda: now)
    with pytest.raises(Unavailable):
        failing(outage)
    now += OPEN_SECONDS * 0.9
    with pytest.raises(Unavailable), outage.guard():
        pytest.fail("the registry was asked")
    now += OPEN_SECONDS * 0.2

    with outage.guard():
        pass


def test_an_answer_that_is_an_error_is_no_outage():
    """A registry that says what it does not have answers well."""
    outage = CircuitBreaker()
    with pytest.raises(NotFound), outage.guard():
        raise NotFound("version: there is none")

    with outage.guard():
        pass
