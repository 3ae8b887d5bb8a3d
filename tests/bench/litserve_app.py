"""LitServe around the model as scikit-learn runs it. Started by the virtual environment of `make bench-peers`."""

import argparse
import os

import litserve
import pandas as pd
import skops.io


class Api(litserve.LitAPI):
    """One row to a prediction with probabilities."""

    def setup(self, device: str) -> None:
        path = os.environ["MODEL_FILE"]
        self.model = skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))

    def decode_request(self, request: dict[str, object]) -> pd.DataFrame:
        return pd.DataFrame([request])

    def predict(self, x: pd.DataFrame) -> list[float]:
        found: list[float] = self.model.predict_proba(x)[0].tolist()
        return found

    def encode_response(self, output: list[float]) -> dict[str, object]:
        classes = [str(each) for each in self.model.classes_]
        best = max(range(len(output)), key=output.__getitem__)
        return {"prediction": classes[best], "probabilities": dict(zip(classes, output, strict=True))}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    parser.add_argument("--host", default="127.0.0.1")
    options = parser.parse_args()
    server = litserve.LitServer(Api(), accelerator="cpu", workers_per_device=2)
    server.run(host=options.host, port=options.port, generate_client_file=False, log_level="warning")
