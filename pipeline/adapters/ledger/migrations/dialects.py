"""What a revision says otherwise on SQLite and on PostgreSQL."""

from alembic import op

VERBS = ("UPDATE", "DELETE")
SUBJECT_VERSION = (
    "CASE WHEN typeof(body) = 'text' AND json_valid(body) THEN json_extract(body, '$.subject.version') END"
)
APPEND_ONLY = """
CREATE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only' USING ERRCODE = 'integrity_constraint_violation';
END $$
"""
# Whatever the text is, the answer is a value or NULL: an index of a text that is no JSON would otherwise refuse it.
FROM_TEXT = """
CREATE FUNCTION {name}(body text) RETURNS {type} LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    RETURN {expression};
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $$
"""


def on_postgres() -> bool:
    """Whether the ledger of this upgrade is in PostgreSQL."""
    return op.get_bind().dialect.name == "postgresql"


def make_append_only(table: str) -> None:
    """Triggers refuse to change or delete what is in a table: they stop accidents, not whoever owns it."""
    if on_postgres():
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only()"
        )
        return
    for verb in VERBS:
        op.execute(
            f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
            "BEGIN SELECT raise(abort, 'the ledger is append-only'); END"
        )


def make_functions() -> None:
    """PostgreSQL's own, which SQLite does without."""
    version, stamp = "(body::json #> '{subject,version}')::text::integer", "body::json ->> 'at'"
    op.execute(APPEND_ONLY)
    op.execute(FROM_TEXT.format(name="ledger_subject_version", type="integer", expression=version))
    op.execute(FROM_TEXT.format(name="ledger_event_stamp", type="text", expression=stamp))


def index_subject_version() -> None:
    """An index that the query of `tables.SubjectVersion` finds."""
    version = "ledger_subject_version(body)" if on_postgres() else SUBJECT_VERSION
    op.execute(f"CREATE INDEX ledger_event_about ON ledger_event (registry, model, {version}, sequence)")
