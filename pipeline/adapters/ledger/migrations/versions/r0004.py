"""No table changes: rows of the topic `touched` are new in `ledger_mark`, and every upgrade fills that table anew."""

revision, down_revision = "0004", "0003"


def upgrade() -> None:
    """Nothing beside what `schema._upgrade` does after the last revision."""
