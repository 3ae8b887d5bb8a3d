"""What people are called: beside the chain, where it may be erased."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0006", "0005"


def upgrade() -> None:
    op.create_table(
        "ledger_person",
        sa.Column("reference", sa.String(16), primary_key=True),
        sa.Column("issuer", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
    )
