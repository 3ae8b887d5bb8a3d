"""What a worker says about a version is believed where it has the form of an answer, and is one refusal elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from pipeline.comparison.rows import Rows
from pipeline.governance.errors import Refused, SignoffError
from pipeline.serving.gate_checks import _recomputed_rows
from pipeline.serving.scorer import Scorer
from pipeline.serving.trust import Trust
from pipeline.serving.worker.client import WorkerRefusal
from pipeline.serving.worker.protocol import Frame
from support.desks import MODEL, build_desk
from support.served import CLASSES, POLICY, ROW, KnownWorker, registry_with_columns

ANSWER: Frame = {"predictions": ["yes", "no"], "classes": CLASSES, "probabilities": [[0.2, 0.8], [0.7, 0.3]]}
WRONG_ANSWERS: dict[str, Frame] = {
    "nothing": {},
    "a list of lists": {**ANSWER, "predictions": [["yes"], ["no"]]},
    "no finite number": {**ANSWER, "probabilities": [[0.2, float("nan")], [0.7, 0.3]]},
    "text for a number": {**ANSWER, "probabilities": [["0.2", "0.8"], ["0.7", "0.3"]]},
    "a probability too few": {**ANSWER, "probabilities": [[0.2], [0.7, 0.3]]},
    "rows without probabilities": {**ANSWER, "probabilities": [[0.2, 0.8]]},
    "classes that are no names": {**ANSWER, "classes": [{"no": 1}, "yes"]},
    "no classes": {"predictions": ["yes", "no"], "probabilities": None},
}
WRONG_DESCRIPTIONS: dict[str, Frame] = {
    "classes that are a number": {"classes": 3},
    "an example that is no table": {"example": ["Age"]},
    "values that are tables": {"example": {"Age": [{"of": "what"}]}},
    "a type that is no name": {"model_type": None},
    "a flavor that is no truth value": {"mlflow_flavor": "yes"},
    "names that are one text": {"names": "Age"},
}


@dataclass
class LyingWorker(KnownWorker):
    """Says something else instead, by operation."""

    instead: dict[str, Frame] = field(default_factory=dict)

    def ask(self, request: Mapping[str, Any], *, seconds: float, about: str) -> Frame:
        return {**super().ask(request, seconds=seconds, about=about), **self.instead.get(request["op"], {})}


@pytest.fixture
def worker() -> LyingWorker:
    return LyingWorker()


@pytest.fixture
def scorer(worker: LyingWorker) -> Scorer:
    desk = build_desk(registry_with_columns())
    desk.take_over()
    return Scorer(desk, worker, POLICY)


@pytest.mark.parametrize("case", WRONG_ANSWERS)
def test_an_answer_of_another_form_is_refused(scorer: Scorer, worker: LyingWorker, case: str) -> None:
    """Also one to another number of rows; the refusal names the version."""
    wrong = {**dict.fromkeys(ANSWER), **WRONG_ANSWERS[case]}
    worker.instead["predict"] = wrong
    with pytest.raises(WorkerRefusal, match=r"^version 1 of .* answers something else than it was asked$"):
        scorer.predict(f"{MODEL}/1", [ROW, ROW])


def test_an_answer_to_other_rows_is_refused(scorer: Scorer, worker: LyingWorker) -> None:
    """Two predictions for one row."""
    worker.instead["predict"] = ANSWER
    with pytest.raises(WorkerRefusal, match="something else"):
        scorer.predict(f"{MODEL}/1", [ROW])
    assert [each.value for each in scorer.predict(f"{MODEL}/1", [ROW, ROW]).rows] == ["yes", "no"]


@pytest.mark.parametrize("case", WRONG_DESCRIPTIONS)
def test_a_description_of_another_form_is_refused(scorer: Scorer, worker: LyingWorker, case: str) -> None:
    """The version counts as one that cannot be asked, with the reason, and nothing of what was said is used."""
    worker.instead["describe"] = WRONG_DESCRIPTIONS[case]
    target = scorer.targets.target(f"{MODEL}/1")
    assert (target.state.state, target.classes, target.example) == (Trust.UNTRUSTED, (), None)
    assert target.state.reason == "answers something else than it was asked"
    with pytest.raises(Refused, match="something else"):
        scorer.predict(f"{MODEL}/1", [ROW])


STORED = Rows({"Age": np.array([1.0, 2.0])}, np.array(["yes", "no"]), np.array(["yes", "no"]), (), np.empty((2, 0)))


@pytest.mark.parametrize("case", WRONG_ANSWERS)
def test_metrics_are_not_recomputed_from_something_else(case: str) -> None:
    """A claim is not compared with what is no prediction."""
    with pytest.raises(SignoffError):
        _recomputed_rows(STORED, [WRONG_ANSWERS[case]], "version 1")


def test_metrics_are_recomputed_from_parts_with_the_same_classes() -> None:
    """Parts that name other classes, or one twice, are no answer to the same question."""
    parts = [{key: each[:1] if key != "classes" else each for key, each in ANSWER.items()} for _ in range(2)]
    assert _recomputed_rows(STORED, parts, "version 1").probabilities.tolist() == [[0.2, 0.8], [0.2, 0.8]]
    for wrong in (["yes", "no"], ["no", "no"]):
        with pytest.raises(Refused, match="something else"):
            _recomputed_rows(STORED, [parts[0], {**parts[1], "classes": wrong}], "version 1")
