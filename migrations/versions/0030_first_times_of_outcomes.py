"""First times of what employers did with an application, for the statistics of results.

``application_ledger.first_seen_at`` and its siblings are written once: hh.ru's present state
(``hh_state``) is overwritten when a refusal follows an invitation, and the history is deleted after
a year. They are filled from the history, whose times are those of Core's readings, and from what
hh.ru showed last. A later stage includes the earlier ones.

``application_ledger_results_index``: the applications of an account by the time at which they were
sent, with all that the statistics read of them. ``jobs_employer_id_index``: how many vacancies an
employer has. The tables are locked for writes while the indexes are built: seconds for a million
rows. The downgrade loses only what the history may still have.
"""

from __future__ import annotations

from alembic import op

revision = "0030"
down_revision = "0028"

COLUMNS = ("first_seen_at", "first_answered_at", "first_invited_at", "first_offered_at")
INDEXES = {
    "application_ledger_results_index": """
        application_ledger (account_id, submitted_at, id)
        INCLUDE (first_seen_at, first_answered_at, first_invited_at, first_offered_at, by_hand,
                 resume_id, vacancy_id, hh_state, letter_template_id, fit)
        WHERE state = 'submitted' AND submitted_at IS NOT NULL""",
    "jobs_employer_id_index": "jobs (employer_id) WHERE employer_id IS NOT NULL",
}
# As applications/outcome_stages.py of this release has them.
INVITED = "('invitation', 'interview', 'phone_interview', 'assessment', 'offer', 'hired')"
OFFERED = "('offer', 'hired')"
NOT_OF_EMPLOYER = "('response', 'hidden')"
# hh.ru's last update is not earlier than what the present state says, and not later than its
# reading: the earlier of the two is closer to the fact.
FIRST_TIMES = f"""
    WITH known AS (
        SELECT ledger_id,
            min(at) FILTER (WHERE reason = 'viewed') AS seen_at,
            min(at) FILTER (WHERE reason = 'discard' OR reason IN {INVITED}) AS answered_at,
            min(at) FILTER (WHERE reason IN {INVITED}) AS invited_at,
            min(at) FILTER (WHERE reason IN {OFFERED}) AS offered_at
        FROM application_history WHERE state = 'submitted' GROUP BY ledger_id
    ), times AS (
        SELECT l.id, l.hh_viewed, l.hh_updated_at, known.seen_at,
            least(known.answered_at, CASE WHEN l.hh_state NOT IN {NOT_OF_EMPLOYER}
                THEN l.hh_updated_at END) AS answered_at,
            least(known.invited_at, CASE WHEN l.hh_state IN {INVITED}
                THEN l.hh_updated_at END) AS invited_at,
            least(known.offered_at, CASE WHEN l.hh_state IN {OFFERED}
                THEN l.hh_updated_at END) AS offered_at
        FROM application_ledger l LEFT JOIN known ON known.ledger_id = l.id
        WHERE l.state = 'submitted'
    )
    UPDATE application_ledger l SET
        first_offered_at = times.offered_at,
        first_invited_at = least(times.invited_at, times.offered_at),
        first_answered_at = least(times.answered_at, times.invited_at, times.offered_at),
        first_seen_at = least(times.seen_at, times.answered_at, times.invited_at,
            times.offered_at,
            CASE WHEN times.hh_viewed AND times.seen_at IS NULL THEN times.hh_updated_at END)
    FROM times
    WHERE times.id = l.id
        AND (times.hh_viewed OR times.seen_at IS NOT NULL OR times.answered_at IS NOT NULL)
"""  # noqa: S608


def upgrade() -> None:
    # The role's limit is meant for requests; this updates one row per answered application.
    op.execute("SELECT set_config('statement_timeout', '0', true)")
    op.execute(
        "ALTER TABLE application_ledger "
        + ", ".join(f"ADD COLUMN {name} timestamptz" for name in COLUMNS)
    )
    op.execute(FIRST_TIMES)
    for name, definition in INDEXES.items():
        op.execute(f"CREATE INDEX {name} ON {definition}")


def downgrade() -> None:
    for name in INDEXES:
        op.execute(f"DROP INDEX {name}")
    op.execute(
        "ALTER TABLE application_ledger " + ", ".join(f"DROP COLUMN {name}" for name in COLUMNS)
    )
