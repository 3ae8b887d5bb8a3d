"""Addresses as they are kept: one spelling, nothing secret."""

from pathlib import Path

import pytest

from pipeline.adapters.ledger.standing import without_credentials


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("", ""),
        ("http://127.0.0.1:5000/", "http://127.0.0.1:5000"),
        ("HTTPS://Grace:secret@Mlflow.Example:5000/Team", "https://mlflow.example:5000/Team"),
        ("postgresql+psycopg2://grace:p@ss/w:rd@db:5432/mlflow", "postgresql://db:5432/mlflow"),
        ("postgresql://grace:p@s?s#w@db/mlflow?password=x@y", "postgresql://db/mlflow"),
        ("postgresql://grace@db/mlflow", "postgresql://db/mlflow"),
        ("mysql://db/mlflow?user=grace&password=secret", "mysql://db/mlflow"),
        ("http://host/a@b", "http://host/a@b"),
        ("sqlite:////srv/../srv/a@b/mlflow.db?mode=ro", "sqlite:////srv/a@b/mlflow.db"),
        ("sqlite:///mlflow.db", f"sqlite:///{Path.cwd()}/mlflow.db"),
        ("file:///srv/mlruns", "file:///srv/mlruns"),
        ("file:/srv/mlruns", "file:///srv/mlruns"),
        ("/srv/mlruns", "file:///srv/mlruns"),
    ],
)
def test_an_address_is_kept_without_what_is_secret(address: str, kept: str) -> None:
    """User, password, driver and query go, and two ways to write the same place are one."""
    assert without_credentials(address) == kept
