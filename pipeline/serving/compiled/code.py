"""A compiled classifier: an ONNX graph and trees, as bytes that one worker process gives to others, and opened.

It needs onnxruntime and treelite, neither scikit-learn nor pandas, and answers columns of values by probabilities.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

MATRIX = "columns"  # the input of a graph that takes all of them side by side
ERRORS = 3  # onnxruntime's level: what is less is not written to the standard error


class NotThisRow(Exception):
    """The compiled form has no finite answer to a row: what the original says to it is not known here."""


@dataclass(frozen=True)
class Code:
    """A compiled classifier as bytes, never stored: whoever has them got them from a worker a moment ago.

    The graph gives first the probabilities, or what its trees take, and then whatever else must be finite, see
    convert._set_outputs.
    """

    names: tuple[str, ...]  # of the columns, in the order in which values are given
    texts: tuple[bool, ...]  # which of them hold text; the others are numbers
    joined: bool  # whether the graph takes the columns side by side, as MATRIX
    graph: bytes = b""  # ONNX; empty where the trees take the columns as they are
    trees: bytes = b""  # of treelite; empty where the graph gives probabilities

    def as_frame(self) -> dict[str, Any]:
        """The fields of a request, see protocol.CODE."""
        fields = {"names": list(self.names), "texts": list(self.texts), "joined": self.joined}
        return {**fields, "graph": len(self.graph), "code": self.graph + self.trees}

    @classmethod
    def of_frame(cls, frame: Mapping[str, Any]) -> "Code":
        content, graph = frame["code"], frame["graph"]
        return cls(tuple(frame["names"]), tuple(frame["texts"]), frame["joined"], content[:graph], content[graph:])


@dataclass(frozen=True)
class Compiled:
    """Code that is ready to run, on one thread."""

    code: Code
    graph: Any  # an InferenceSession of onnxruntime; None where there is no graph
    trees: Any  # a Model of treelite; None where there are no trees

    @classmethod
    def of_code(cls, code: Code) -> "Compiled":
        return cls(code, _session(code.graph) if code.graph else None, _model(code.trees) if code.trees else None)

    def probabilities(self, columns: Sequence[Sequence[Any]]) -> np.ndarray:
        """The probabilities of n rows given by column, shape (n, classes). Raises NotThisRow."""
        arrays = [
            np.array(values, dtype=object if text else np.float64)[:, None]
            for text, values in zip(self.code.texts, columns, strict=True)
        ]
        if self.graph is None:
            outputs = [np.hstack(arrays)]
        elif self.code.joined:
            matrix = np.hstack(arrays)
            outputs = [*self.graph.run(None, {MATRIX: matrix}), matrix]
        else:
            outputs = self.graph.run(None, dict(zip(self.code.names, arrays, strict=True)))
        if not all(np.isfinite(each).all() for each in outputs):  # scikit-learn refuses such a row
            raise NotThisRow("a value is not finite")
        return self._walked(outputs[0]) if self.trees is not None else outputs[0].astype(np.float64)

    def _walked(self, prepared: np.ndarray) -> np.ndarray:
        """The probabilities that the trees give, in double as boosting compares."""
        from treelite import gtil

        found = gtil.predict(self.trees, np.ascontiguousarray(prepared), nthread=1).reshape(len(prepared), -1)
        return np.hstack([1 - found, found]) if found.shape[1] == 1 else found


def _session(graph: bytes) -> Any:  # noqa: ANN401 (an InferenceSession)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS
    return onnxruntime.InferenceSession(graph, sess_options=options, providers=["CPUExecutionProvider"])


def _model(trees: bytes) -> Any:  # noqa: ANN401 (a Model of treelite)
    import treelite

    return treelite.Model.deserialize_bytes(trees)
