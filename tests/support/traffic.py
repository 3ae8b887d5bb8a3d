"""Rows of people who are asked about one after the other, by several callers, until nobody listens any more."""

import http.client
import io
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import pandas as pd

from pipeline.governance.record.documents import EVALUATION_ROWS
from pipeline.governance.service import GovernanceService
from support.api_server import JSON, SECONDS

ANSWERS = {"actual", "predicted"}  # the columns of evaluation rows that no model is given


@dataclass(frozen=True)
class TrueRow:
    """A row with what turns out to be true of it."""

    values: Mapping[str, object]
    actual: str


def held_out(service: GovernanceService, model: str, version: int) -> list[TrueRow]:
    """The rows that a version was evaluated on."""
    stored = pd.read_parquet(io.BytesIO(service.read_file(service.version(model, version), EVALUATION_ROWS)))
    names = [name for name in map(str, stored) if name not in ANSWERS and not name.startswith("probability_")]
    found = zip(stored[names].to_dict("records"), stored["actual"], strict=True)
    return [TrueRow({str(name): value for name, value in row.items()}, str(actual)) for row, actual in found]


@dataclass
class Traffic:
    """Callers that share the rows among them and begin anew at their end. `rows` may be exchanged meanwhile.

    pause: seconds between an answer and the next question, which leaves the processor to others.
    """

    port: int
    rows: Sequence[TrueRow]
    pause: float = 0.03
    outcomes: dict[str, str] = field(default_factory=dict)  # by prediction_id: what turns out to be true
    refused: list[int] = field(default_factory=list)  # the status of answers that are none
    asked: int = 0
    ended: threading.Event = field(default_factory=threading.Event)
    turn: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def flowing(self, callers: int = 3) -> Iterator["Traffic"]:
        threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(callers)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self.ended.set()
            for thread in threads:
                thread.join(SECONDS)

    def wait_for(self, more: int) -> None:
        """Until so many more answers have come."""
        wanted, deadline = len(self.outcomes) + more, time.monotonic() + SECONDS
        while len(self.outcomes) < wanted:
            assert time.monotonic() < deadline, self.refused
            time.sleep(0.05)

    def _next(self) -> TrueRow:
        with self.turn:
            self.asked += 1
            return self.rows[self.asked % len(self.rows)]

    def _ask(self) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)) as connection:
            while not self.ended.wait(self.pause):
                row = self._next()
                connection.request("POST", "/predict", json.dumps(row.values), JSON)
                answer = connection.getresponse()
                content = json.loads(answer.read())
                if answer.status == http.HTTPStatus.OK:
                    self.outcomes[content["prediction_id"]] = row.actual
                else:
                    self.refused.append(answer.status)
