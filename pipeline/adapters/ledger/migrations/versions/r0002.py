"""Which address had which registry, and since when by the database's clock a decision is pending."""

import sqlalchemy as sa
from alembic import op

from pipeline.adapters.ledger.migrations.dialects import make_append_only, on_postgres

revision, down_revision = "0002", "0001"


def upgrade() -> None:
    op.create_table(
        "ledger_registry",
        sa.Column("registry", sa.String(64), primary_key=True),
        sa.Column("address", sa.Text, primary_key=True),
        sa.Column("first_seen", sa.String(32), nullable=False),
    )
    make_append_only("ledger_registry")
    op.create_index("ledger_event_of_decision", "ledger_event", ["registry", "decision"])
    op.create_index("ledger_event_of_type", "ledger_event", ["type", "registry", "model", "sequence"])
    op.add_column("ledger_slot", sa.Column("pending_since", sa.String(32)))
    if on_postgres():  # it came with the third revision: no ledger there is older
        return
    # Of a decision that is pending already only its own stamp is known, by a clock that may have been ahead.
    op.execute(
        "UPDATE ledger_slot SET pending_since = min(strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), coalesce(("
        "SELECT CASE WHEN typeof(body) = 'text' AND json_valid(body) "
        "THEN strftime('%Y-%m-%dT%H:%M:%fZ', json_extract(body, '$.at')) END FROM ledger_event AS decided "
        "WHERE decided.registry = ledger_slot.registry AND decided.decision = ledger_slot.pending "
        "AND decided.type = 'decided'"
        "), strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))) WHERE pending IS NOT NULL"
    )
