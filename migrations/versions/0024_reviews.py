"""Reviews: applications that wait for the person's yes, with the letter of a template.

``application_ledger``: of which template the letter is made (it may be deleted by then), whether
the person looks first, the least fit, and the fit that was found. ``application_reviews``: what the
person is shown, and which letter to which state of the vacancy may be sent. The indexes of what has
not been sent have the new state ``review`` too.
"""

from __future__ import annotations

from alembic import op

from migrations import ownership

revision = "0024"
down_revision = "0023"

STATES = (
    "'queued', 'preparing', 'submitting', 'submitted', 'uncertain', 'waiting_quota', "
    "'needs_person', 'handoff', 'refused', 'cancelled', 'expired'"
)
NEEDS_PERSON = "'needs_person', 'handoff'"
NOT_SENT = f"'queued', 'preparing', 'waiting_quota', {NEEDS_PERSON}"
INDEXES = {
    "application_ledger_expires_at_index": """application_ledger (expires_at)
        WHERE state IN ({needs_person}) AND due_at IS NULL""",
    "application_ledger_not_out_index": """application_ledger (id)
        WHERE workflow_id IS NOT NULL AND state IN ({not_sent})""",
    "application_ledger_campaign_not_out_index": """application_ledger (workflow_id)
        WHERE workflow_id IS NOT NULL AND state IN ({not_sent})""",
}


def upgrade() -> None:
    op.execute("SELECT set_config('statement_timeout', '0', true)")
    op.execute("""
        ALTER TABLE application_ledger
            ADD COLUMN letter_template_id uuid,
            ADD COLUMN review text NOT NULL DEFAULT 'never'
                CHECK (review IN ('never', 'findings', 'always')),
            ADD COLUMN min_fit smallint,
            ADD COLUMN fit smallint
    """)
    _allow(f"{STATES}, 'review'")
    _index(f"{NEEDS_PERSON}, 'review'", f"{NOT_SENT}, 'review'")
    op.execute("""
        CREATE INDEX application_ledger_review_index
        ON application_ledger (account_id, created_at, id) WHERE state = 'review'
    """)
    op.execute("""
        CREATE TABLE application_reviews (
            ledger_id uuid PRIMARY KEY REFERENCES application_ledger ON DELETE CASCADE,
            content jsonb NOT NULL,
            vacancy_digest bytea NOT NULL,
            approved_hash bytea,
            updated_at timestamptz NOT NULL
        )
    """)


def downgrade() -> None:
    ownership.refuse_to_lose("application_reviews", "what people reviewed or have to review")
    op.execute("DROP TABLE application_reviews")
    op.execute("DROP INDEX application_ledger_review_index")
    _index(NEEDS_PERSON, NOT_SENT)
    _allow(STATES)
    op.execute("""
        ALTER TABLE application_ledger
            DROP COLUMN letter_template_id, DROP COLUMN review, DROP COLUMN min_fit, DROP COLUMN fit
    """)


def _allow(states: str) -> None:
    op.execute(f"""
        ALTER TABLE application_ledger
            DROP CONSTRAINT application_ledger_state_check,
            ADD CONSTRAINT application_ledger_state_check CHECK (state IN ({states}))
    """)


def _index(needs_person: str, not_sent: str) -> None:
    for name, definition in INDEXES.items():
        op.execute(f"DROP INDEX {name}")
        on = definition.format(needs_person=needs_person, not_sent=not_sent)
        op.execute(f"CREATE INDEX {name} ON {on}")
