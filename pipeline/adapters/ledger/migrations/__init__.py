"""Alembic's environment for the ledger's own tables; the version table is `ledger_version`.

Libraries such as MLflow keep an `alembic_version` of their own, so the ledger can share a database with them.
"""
