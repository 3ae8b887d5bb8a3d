"""The HTTP API of the champion's predictions: `signoff serve`, or `uvicorn pipeline.http_api:app`."""

from pipeline.http_api.app import create_app

__all__ = ["app", "create_app"]

app = create_app()
