"""Answers that equal searches share for some seconds: see ``vacancies/shared_answers.py``.

The downgrade drops them; the next search asks hh.ru.
"""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE search_answers (
            hash bytea PRIMARY KEY,
            answer jsonb,
            answered_at timestamptz,
            asked_by uuid,
            asked_until timestamptz
        )
    """)


def downgrade() -> None:
    op.execute("DROP TABLE search_answers")
