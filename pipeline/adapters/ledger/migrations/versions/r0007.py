"""What people are to be told, written with its event and removed when everybody has it."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0007", "0006"


def upgrade() -> None:
    op.create_table(
        "ledger_outbox",
        sa.Column("registry", sa.String(64), primary_key=True),
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("due", sa.String(32), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("delivered", sa.Text, nullable=False),
        sa.Column("failure", sa.Text, nullable=False),
    )
