"""The tables of the first ledgers, which had no version table."""

import sqlalchemy as sa
from alembic import op

from pipeline.adapters.ledger.migrations.dialects import make_append_only, make_functions, on_postgres

revision, down_revision = "0001", None


def upgrade() -> None:
    op.create_table(
        "ledger_event",
        sa.Column("registry", sa.String(64), primary_key=True),
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("previous_hash", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("type", sa.String(20), nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("decision", sa.String(64)),
        sa.Column("key", sa.Text),
        sa.UniqueConstraint("registry", "hash"),
        sa.UniqueConstraint("registry", "key"),
    )
    op.create_index("ledger_event_of_model", "ledger_event", ["registry", "model", "sequence"])
    op.create_table(
        "ledger_slot",
        sa.Column("registry", sa.String(64), primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("kind", sa.String(5), primary_key=True),
        sa.Column("name", sa.String(255), primary_key=True),
        sa.Column("recorded", sa.Text),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("pending", sa.String(64)),
        sa.Column("drift", sa.Boolean, nullable=False),
        sa.Column("observed", sa.Text),
        sa.Column("since", sa.String(32)),
    )
    op.create_table(
        "ledger_evidence",
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column("body", sa.Text, nullable=False),
    )
    if on_postgres():
        make_functions()
    for table in ("ledger_event", "ledger_evidence"):
        make_append_only(table)
