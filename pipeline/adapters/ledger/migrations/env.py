"""What Alembic runs: the revisions, on the connection that `ledger_schema` opened and locked."""

from alembic import context

from pipeline.adapters.ledger.tables import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
with context.begin_transaction():
    context.run_migrations()
