"""Recipes of the settings as unfitted pipelines, for tests that train without files and without a registry."""

from sklearn.pipeline import Pipeline

from pipeline.settings import Settings
from pipeline.training.candidates import build_pipeline
from pipeline.training.lineage import read_candidate

NO_DATA = {"sha256": "", "schema_sha256": ""}


def untrained(settings: Settings, name: str) -> Pipeline:
    return build_pipeline(read_candidate(settings, name, NO_DATA), settings.schema_)
