"""The bar: forty good lines around the same compiled parts. `MODEL_FOLDER=... python forty_lines_app.py --port N`."""

import os
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
import uvicorn
from fastapi import FastAPI
from pydantic import create_model

from pipeline.serving.compiled.code import Compiled
from pipeline.serving.compiled.convert import convert
from pipeline.serving.worker.load import load_model
from pipeline.settings import read_settings

settings = read_settings()
columns = settings.schema_.columns
fields: Any = {name: (float if each.type == "number" else str, ...) for name, each in columns.items()}
Row = create_model("Row", **fields)
model = load_model(Path(os.environ["MODEL_FOLDER"]), allowed_types=tuple(settings.serving.allowed_types)).model
sample = pd.DataFrame([{name: each.default for name, each in columns.items()}])
numbers = {name: "float64" for name, each in columns.items() if each.type == "number"}
compiled = Compiled.of_code(convert(model, sample.astype(numbers)))
classes = [str(each) for each in model.classes_]
app = FastAPI()


@app.get("/ready")
async def ready() -> dict[str, bool]:
    return {"ready": True}


@app.post("/predict")
async def predict(row: Row) -> dict[str, object]:  # type: ignore[valid-type]
    found = compiled.probabilities([[value] for value in dict(row).values()])[0].tolist()  # type: ignore[call-overload]
    best = max(range(len(found)), key=found.__getitem__)
    return {"prediction": classes[best], "probabilities": dict(zip(classes, found, strict=True))}


def main(port: Annotated[int, typer.Option()], host: str = "127.0.0.1") -> None:
    uvicorn.run(app, host=host, port=port, access_log=False, log_level="warning")


if __name__ == "__main__":
    typer.run(main)
