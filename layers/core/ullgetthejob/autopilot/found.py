"""What a run found becomes items of the search's standing campaign, from which applications are
created as from any campaign's.

In the transaction that notifies the account: a vacancy is notified once, so it becomes an item
once, of the search that found it first.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ullgetthejob.platform.telemetry import count

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from ullgetthejob.platform.postgres import Connection

# What an item's "review" says to the preparation of its application.
REVIEWS = {"review": "always", "auto": "findings"}

# The owner: the user that saved the search, or another session of the person.
INSERT_STANDING_CAMPAIGN = """
    INSERT INTO campaigns (
        workflow_id, account_id, user_id, state, is_held, saved_search_id, created_at, updated_at
    )
    SELECT gen_random_uuid(), account.id, owner.id,
           CASE WHEN account.autopilot_paused_at IS NULL THEN 'running' ELSE 'paused' END,
           account.autopilot_paused_at IS NOT NULL, search.id, %(now)s, %(now)s
    FROM saved_searches AS search JOIN accounts AS account ON account.id = search.account_id
    CROSS JOIN LATERAL (
        SELECT id FROM users WHERE account_id = account.id
        ORDER BY id = search.user_id DESC, id LIMIT 1
    ) AS owner
    WHERE search.id = %(saved_search_id)s
    ON CONFLICT (saved_search_id) WHERE state <> 'cancelled' DO NOTHING
"""
# The settings of the autopilot as they are now. Without its template, a person has to look.
INSERT_ITEMS = """
    INSERT INTO application_queue (
        workflow_id, user_id, job_id, job_external_id, status, payload, priority, next_run_at,
        created_at, updated_at
    )
    SELECT campaign.workflow_id, owner.id, job.id, found.id, 'pending',
        jsonb_strip_nulls(jsonb_build_object(
            'review', CASE
                WHEN pilot.letter_template_id IS NOT NULL AND template.id IS NULL THEN 'always'
                ELSE %(reviews)s::jsonb ->> pilot.mode END,
            'letter_template_id', template.id, 'hh_resume_id', pilot.hh_resume_id,
            'min_fit', pilot.min_fit
        )), 0, %(utc)s, %(utc)s, %(utc)s
    FROM unnest(%(vacancy_ids)s::text[]) WITH ORDINALITY AS found (id, place)
    JOIN jobs AS job ON job.external_id = found.id
    JOIN autopilots AS pilot ON pilot.saved_search_id = %(saved_search_id)s
    JOIN campaigns AS campaign
        ON campaign.saved_search_id = pilot.saved_search_id AND campaign.state <> 'cancelled'
    JOIN saved_searches AS search ON search.id = pilot.saved_search_id
    CROSS JOIN LATERAL (
        SELECT id FROM users WHERE account_id = pilot.account_id
        ORDER BY id = search.user_id DESC, id LIMIT 1
    ) AS owner
    LEFT JOIN letter_templates AS template
        ON template.id = pilot.letter_template_id AND template.account_id = pilot.account_id
    WHERE pilot.mode <> 'off'
    ORDER BY found.place
"""


def add_items(
    saved_search_id: UUID,
    vacancy_ids: Sequence[str],
    *,
    connection: Connection,
    now: datetime,
) -> int:
    """Add the vacancies to the standing campaign of a saved search, in the caller's transaction,
    which holds the account's lock; return how many.

    The campaign is created with the first of them; while the account's autopilots are paused, it is
    paused too. An account without a user, who left it for another, gets none.
    """
    values = {
        "saved_search_id": saved_search_id,
        "vacancy_ids": list(vacancy_ids),
        "reviews": json.dumps(REVIEWS),
        "now": now,
        "utc": now.replace(tzinfo=None),
    }
    connection.execute(INSERT_STANDING_CAMPAIGN, values)
    added = connection.execute(INSERT_ITEMS, values).rowcount
    if added:
        count("AutopilotVacancies", added)
    return added
