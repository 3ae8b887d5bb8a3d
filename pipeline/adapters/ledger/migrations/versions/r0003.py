"""Which events still count, so that a long history need not be replayed; `ledger_standing` fills the tables."""

import sqlalchemy as sa
from alembic import op

from pipeline.adapters.ledger.migrations.dialects import index_subject_version

revision, down_revision = "0003", "0002"


def upgrade() -> None:
    op.create_table(
        "ledger_mark",
        sa.Column("registry", sa.String(64), primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("topic", sa.String(10), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("created_at", sa.String(32), primary_key=True),
        sa.Column("sequence", sa.Integer, nullable=False),
    )
    op.create_table(
        "ledger_champion",
        sa.Column("registry", sa.String(64), primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("version", sa.Integer),
        sa.Column("period", sa.Boolean, nullable=False),
        sa.Column("depth", sa.Integer),
    )
    op.create_index("ledger_champion_of_depth", "ledger_champion", ["registry", "model", "depth"])
    op.create_index("ledger_champion_of_version", "ledger_champion", ["registry", "model", "version", "depth"])
    op.create_index("ledger_champion_of_period", "ledger_champion", ["registry", "model", "period", "sequence"])
    index_subject_version()
