"""How much is run of what takes long by nature: a little of it in `make test`, all of it in `make soak`."""

import os
from typing import TypeVar

import pytest

Amount = TypeVar("Amount")
SOAK = os.environ.get("TEST_SOAK", "") not in ("", "0")
only_in_soak = pytest.mark.skipif(not SOAK, reason="takes long: `make soak` runs it, every night")


def amount(few: Amount, *, soak: Amount) -> Amount:
    """What a test repeats (a number of rounds, or the cases themselves): `few` of them, or in a soak run all."""
    return soak if SOAK else few
