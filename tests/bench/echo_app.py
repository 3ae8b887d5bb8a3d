"""The floor: a FastAPI server that checks a row by pydantic and gives it back. `python echo_app.py --port N`."""

from typing import Annotated, Any

import typer
import uvicorn
from fastapi import FastAPI
from pydantic import create_model

from pipeline.settings import read_settings

columns = read_settings().schema_.columns
fields: Any = {name: (float if each.type == "number" else str, ...) for name, each in columns.items()}
Row = create_model("Row", **fields)
app = FastAPI()


@app.get("/ready")
async def ready() -> dict[str, bool]:
    return {"ready": True}


@app.post("/predict")
async def predict(row: Row) -> Row:  # type: ignore[valid-type]
    return row


def main(port: Annotated[int, typer.Option()], host: str = "127.0.0.1") -> None:
    uvicorn.run(app, host=host, port=port, access_log=False, log_level="warning")


if __name__ == "__main__":
    typer.run(main)
