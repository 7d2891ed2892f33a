"""Columns that the BFF's queries need beyond the original's tables, and tokens as text.

The BFF selects ``jobs.created_at``, ``applications.created_at`` and ``applications.custom_cv_id``,
which the original never had, and inserts into ``application_queue`` without its timestamps and
without a ``cvs`` row (the one deviation: ``cv_id`` may be null).

Tokens are ciphertext in ``text`` columns. The newest original stored Cloak's ciphertext as
``bytea``: such values are kept as ``cloak:<base64>``, readable only by the original, and the
downgrade converts them back; values that Core wrote since become the bytes of their text.

The downgrade refuses while there are rows that it would lose: queue rows without a CV, links from
applications to custom CVs.
"""

from __future__ import annotations

from alembic import op

from migrations import ownership

revision = "0002"
down_revision = "0001"

TOKENS = ("access_token", "refresh_token")
WAS_BYTES = "bytea before migration 0002 of ullgetthejob-core"


def upgrade() -> None:
    for table in ("jobs", "applications"):
        ownership.add_column(table, "created_at", "timestamp(0)")
        op.execute(f"UPDATE {table} SET created_at = inserted_at WHERE created_at IS NULL")  # noqa: S608
        op.execute(f"ALTER TABLE {table} ALTER created_at SET DEFAULT now()")
    ownership.add_column("applications", "custom_cv_id", "uuid")
    op.execute("""
        ALTER TABLE application_queue
            ALTER created_at SET DEFAULT now(),
            ALTER updated_at SET DEFAULT now(),
            ALTER cv_id DROP NOT NULL
    """)
    types = {column.name: column.type for column in ownership.columns(["hh_tokens"])}
    for token in TOKENS:
        if types[token] == "bytea":
            op.execute(f"""
                ALTER TABLE hh_tokens ALTER {token} TYPE text
                    USING 'cloak:' || translate(encode({token}, 'base64'), E'\\n', '')
            """)
            op.execute(f"COMMENT ON COLUMN hh_tokens.{token} IS '{WAS_BYTES}'")


def downgrade() -> None:
    ownership.refuse_to_lose("application_queue WHERE cv_id IS NULL", "queued applications")
    ownership.refuse_to_lose(
        "applications WHERE custom_cv_id IS NOT NULL", "which CV was sent with an application"
    )
    for token in TOKENS:
        if ownership.column_comment("hh_tokens", token) == WAS_BYTES:
            op.execute(f"""
                ALTER TABLE hh_tokens ALTER {token} TYPE bytea USING
                    CASE WHEN {token} LIKE 'cloak:%' THEN decode(substr({token}, 7), 'base64')
                         ELSE convert_to({token}, 'UTF8') END
            """)
            op.execute(f"COMMENT ON COLUMN hh_tokens.{token} IS NULL")
    op.execute("DELETE FROM application_queue WHERE cv_id IS NULL")
    op.execute("""
        ALTER TABLE application_queue
            ALTER created_at DROP DEFAULT,
            ALTER updated_at DROP DEFAULT,
            ALTER cv_id SET NOT NULL
    """)
    ownership.drop_column("applications", "custom_cv_id")
    for table in ("applications", "jobs"):
        ownership.drop_column(table, "created_at")
