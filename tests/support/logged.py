"""What a log of predictions holds, for tests."""

from datetime import datetime

from pipeline.monitoring.prediction_log import CountKey, CountKind, Door, LoggedPrediction, ShadowAnswer
from support.in_memory import EPOCH

DIGEST = "d" * 64


def prediction_id(number: int) -> str:
    return f"0190a000-0000-7000-8000-{number:012d}"


def prediction(number: int, *, at: datetime = EPOCH, said: str = "yes", **more) -> LoggedPrediction:
    return LoggedPrediction(
        prediction_id=prediction_id(number),
        at=at,
        model="m",
        version=1,
        digest=DIGEST,
        alias="champion",
        door=Door.HTTP,
        prediction=said,
        confidence=0.75,
        probabilities={"no": 0.25, "yes": 0.75},
        milliseconds=1.5,
        **more,
    )


def shadow(number: int, *, said: str = "yes", version: int = 2) -> ShadowAnswer:
    """Of the prediction of the same number."""
    chances = {"no": 0.5, "yes": 0.5}
    return ShadowAnswer(prediction_id(number), EPOCH, "challenger", version, DIGEST, said, 0.5, chances)


def key(
    *,
    hour: datetime = EPOCH,
    version: int = 1,
    kind: CountKind = CountKind.COLUMN,
    name: str = "Age",
    bin: str = "2",  # noqa: A002 (the field's name)
) -> CountKey:
    return CountKey(hour, "m", version, DIGEST, kind, name, bin)
