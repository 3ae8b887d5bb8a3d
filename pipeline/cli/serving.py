"""The champion over HTTP."""

from typing import Annotated

import typer

from pipeline.cli.app import app
from pipeline.settings import read_settings


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 takes a free one.")] = 8000,
    model: Annotated[str | None, typer.Option(help="Model to serve (default: SIGNOFF_MODEL, params.yaml).")] = None,
) -> None:
    """Answer predictions of a model's champion over HTTP, and follow it when it changes."""
    from pipeline.http_api.server import serve as run_server

    run_server(read_settings(), host=host, port=port, model=model)
