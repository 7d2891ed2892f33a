"""The statements of the package, and the values with which ``make bench-growth`` runs each.

:func:`statements` collects every SQL constant of the package by its name. Each has its values here
or a reason in :data:`EXEMPT`; a unit test fails for one that has neither.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import pkgutil
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import ullgetthejob
from benchmarks.growth_data import APPLICATIONS, DUE, FIRST_VACANCY, NOW, uuid_of
from ullgetthejob.applications import application_states, applying, sweep
from ullgetthejob.applications.campaigns import cancellation, item_intake
from ullgetthejob.filters import models as filters
from ullgetthejob.saved_searches import matches, scheduler
from ullgetthejob.statistics import funnel
from ullgetthejob.statistics import store as statistics_store
from ullgetthejob.vacancies import detail_backfill

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

STATEMENT = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b")
PLACEHOLDER = re.compile(r"%\((\w+)\)s")

EXEMPT = {
    "saved_searches.matches.SELECT_MATCHES": "a template of two others",
    "saved_searches.matches.COUNT_MATCHES": "a template of two others",
    "personal_data.tables.SELECT_ROWS": "a template of one for each table of a person",
    "personal_data.tables.SELECT_TABLE_EXISTS": "reads no table",
    "platform.retention.SELECT_BLOCKS": "asks for the size of a file",
    "platform.postgres.SELECT_IS_WRITABLE": "reads no table",
    "accounts.token_store.SELECT_ORIGINAL_TABLE_EXISTS": "reads no table",
    "accounts.token_store.DELETE_ORIGINAL_TOKENS": "the original's table, which Core never fills",
    "vacancies.shared_answers.UPSERT_CLAIM": "a table of some seconds' answers",
    "vacancies.shared_answers.UPDATE_CLAIM": "a table of some seconds' answers",
    "vacancies.shared_answers.UPDATE_ANSWER": "a table of some seconds' answers",
    "vacancies.shared_answers.UPDATE_ANSWER_RELEASED": "a table of some seconds' answers",
    **{
        f"hh.app_token.{name}": "a table of one row"
        for name in (
            "SELECT_APP_TOKEN",
            "UPSERT_APP_TOKEN_REQUEST",
            "UPDATE_APP_TOKEN_REQUEST_CLEARED",
            "UPDATE_APP_TOKEN",
        )
    },
    **{
        f"hh.dictionaries.{name}": "a table of hh.ru's dictionaries, which do not grow"
        for name in (
            "SELECT_FRESHNESS",
            "SELECT_UNKNOWN_CODES",
            "SELECT_KNOWN_CODES",
            "SELECT_NAMES",
            "UPSERT_DICTIONARY",
            "UPDATE_DICTIONARY_TTL",
        )
    },
}

# The account, the person and their rows that the statements ask for: in every size the same.
ACCOUNT = 3
SUBMITTED = (ACCOUNT - 1) * APPLICATIONS + 120  # an application that was sent
REVIEW = (ACCOUNT - 1) * APPLICATIONS + 6  # one that waits for its person's yes
WAITING = (ACCOUNT - 1) * APPLICATIONS + 30  # one of a campaign that waits for a token
QUEUED = (ACCOUNT - 1) * APPLICATIONS + 51  # the one that is due
PAGE = 100  # vacancies of a page of hh.ru
UTC_NOW = NOW.replace(tzinfo=None)
DAY = timedelta(days=1)
SOME_UUID = UUID("80000000-0000-4000-8000-000000000000")
OTHER_UUID = UUID("90000000-0000-4000-8000-000000000000")
VACANCY = str(FIRST_VACANCY + 4_000)
NEW_VACANCY = str(FIRST_VACANCY - 1)
VACANCIES = [str(FIRST_VACANCY + number) for number in range(3_000, 3_000 + PAGE)]
LEDGER_ID = uuid_of(f"ledger{SUBMITTED}")
SEARCH_ID = uuid_of(f"search{ACCOUNT}")
QUERY_ID = uuid_of(f"query{ACCOUNT}")
WIDE_QUERY_ID = uuid_of("wide")  # a query that finds a tenth of all jobs
RUN_ID = uuid_of(f"run{ACCOUNT} 2")  # its account was not notified of it yet
RUNNING_ID = uuid_of(f"run{ACCOUNT} 1")

# Values by the names of placeholders, for all statements without one of their own.
VALUES: dict[str, Any] = {
    "account_id": uuid_of(f"account{ACCOUNT}"),
    "account_ids": [uuid_of(f"account{ACCOUNT}")],
    "user_id": uuid_of(f"user{ACCOUNT}"),
    "user_ids": [uuid_of(f"user{ACCOUNT}")],
    "forever": NOW + 3650 * DAY,
    "digest": b"digest",
    "digests": [b"digest"],
    "channel_id": uuid_of(f"channel{ACCOUNT}"),
    "channel_kind": "email",
    "kind": "invitation",
    "language": "ru",
    "address": "ciphertext",
    "hint": "a…@example.com",
    "secret": None,
    "replaced": None,
    "since_seq": 200,
    "first_seq": 200,
    "last_seq": 200,
    "made": 1,
    "content": "{}",
    "settings": "{}",
    "workflow_id": uuid_of(f"campaign{ACCOUNT}"),
    "queue_item_id": uuid_of(f"item{WAITING}"),
    "item_id": uuid_of(f"item{WAITING}"),
    "application_id": uuid_of(f"shown{SUBMITTED}"),
    "search_id": SEARCH_ID,
    "query_id": QUERY_ID,
    "run_id": RUN_ID,
    "vacancy_id": VACANCY,
    "id": LEDGER_ID,
    "ids": VACANCIES,
    "now": NOW,
    "utc": UTC_NOW,
    "moment": NOW,
    "at": NOW,
    "after_now": NOW,
    "since": NOW - DAY,
    "until": NOW + DAY,
    "before": NOW - 90 * DAY,
    "due_at": NOW,
    "expires_at": NOW,
    "started_at": NOW,
    "submitted_at": None,
    "created_at": NOW,
    "published_at": NOW,
    "proven_at": NOW,
    "read_whole_from": NOW - timedelta(hours=5),
    "awaited_since": NOW - 30 * DAY,
    "window": funnel.WINDOW,
    "sent_before": NOW - timedelta(hours=100),
    "after_id": None,
    "after_submitted_at": None,
    "seen_at": NOW,
    "answered_at": NOW,
    "invited_at": None,
    "offered_at": None,
    "began_at": NOW,
    "has_messages": False,
    "is_called": True,
    "not_made": 0,
    "hh_message_id": None,
    "ledger_id": LEDGER_ID,
    "unread_before": NOW - DAY,
    "gone_before": NOW - 7 * DAY,
    "fresh_since": NOW,
    "fresh_until": NOW,
    "died_before": NOW,
    "most": sweep.BATCH,
    "limit": 20,
    "offset": 0,
    "above": 195,
    "told_match": 190,
    "last_match": 200,
    "seq": 195,
    "seen": 190,
    "cursor": 195,
    "number": 9,
    "numbers": list(range(1, DUE + 1)),
    "state": "queued",
    "states": list(application_states.ALLOWED_SOURCES),
    "from": SOME_UUID,
    "reason": None,
    "status": "processing",
    "outcome": "submitted",
    "counts": True,
    "letter": "Здравствуйте!",
    "letter_template_id": None,
    "review": "never",
    "min_fit": None,
    "fit": 70,
    "findings": "[]",
    "vacancy_digest": b"digest",
    "approved_hash": b"hash",
    "resume_id": "resume",
    "resume_reason": None,
    "new_resume": None,
    "resumes": "[]",
    "schedule": "{}",
    "claimed_until": None,
    "is_lost": False,
    "by": "schedule",
    "raised_at": NOW,
    "raised_by": "schedule",
    "next_raise_at": NOW,
    "tolerance": timedelta(minutes=1),
    "read_at": NOW,
    "link": None,
    "negotiation_id": str(SUBMITTED),
    "hh_state": "response",
    "hh_viewed": True,
    "hh_updated_at": NOW,
    "first": "response",
    "by_hand": False,
    "keeps_failed_calls": False,
    "is_over": False,
    "preparing_id": None,
    "error": None,
    "title": "title",
    "asked_at": NOW,
    "asked": 1,
    "seen_title": None,
    "seen_asked_at": None,
    "rules": "{}",
    "saved_search_id": SEARCH_ID,
    "search_ids": [SEARCH_ID],
    "mode": "auto",
    "hh_resume_id": None,
    "max_per_day": 20,
    "bucket_share": 50,
    "since_match": None,
    "reviews": '{"auto": "findings"}',
    "reasons": ["max_per_day"],
    "all": False,
    "weights": "{}",
    "template_id": SOME_UUID,
    "text": "Здравствуйте!",
    "payload": "{}",
    "priority": 0,
    "job_count": 1,
    "interval_s": 60,
    "seconds": 60,
    "captcha_url": None,
    "tries": 0,
    "heir": uuid_of(f"user{ACCOUNT}"),
    "email": "person@session.invalid",
    "may_move": True,
    "hh_user_id": str(ACCOUNT),
    "actor": "core",
    "action": "apply",
    "request_id": "request",
    "key": "key",
    "request_hash": b"hash",
    "code_hash": b"code",
    "hash": b"hash",
    "hashes": [b"code"],
    "pair": None,
    "refusal": None,
    "access_token": "token",
    "refresh_token": "token",
    "refresh_hash": b"hash",
    "old_hash": b"hash",
    "type": "application.updated",
    "event_type": "application.updated",
    "event_reason": None,
    "event_trace_id": None,
    "data": json.dumps({"application_id": str(LEDGER_ID), "state": "submitted"}),
    "trace_id": None,
    "changed_after": NOW - DAY,
    "low": "(10,0)",
    "high": "(74,0)",
    "kept": 90 * DAY,
    "cancelled_after": NOW - DAY,
    "place": 0.5,
    "trigger": "schedule",
    "plan": "{}",
    "step": 0,
    "attempts": 1,
    "calls": 1,
    "found": 1,
    "fetched": 1,
    "new": 1,
    "changed": 1,
    "failed": 0,
    "is_full": False,
    "is_whole": False,
    "is_gone": False,
    "releases_claim": True,
    "looked_at": None,
    "name": "name",
    "search": "{}",
    "interval_seconds": 1800,
    "paused": False,
    "working_hours": None,
    "time_zone": "UTC",
    "next_run_at": NOW,
    "parameters": "{}",
    "seqs": list(range(PAGE)),
    "originals": VACANCIES,
    "moved": VACANCIES[:2],
    "locked": [QUERY_ID],
    "keys": [b"key"] * PAGE,
    "company": None,
    "salary": None,
    "area": None,
    "url": None,
    "description": None,
    "has_test": False,
    "test_required": False,
    "employer_id": None,
    "skills": [],
    "archived": False,
    "detail": "{}",
    "repost_key": b"key",
    "search_query": "python",
    "searches": detail_backfill.SEARCHES_SCANNED,
    "counters": "{}",
    "repost": None,
    "method": "apply",
    "methods": ["apply", "negotiations"],
    "holder": None,
    "interval": timedelta(hours=1),
    "probe_at": NOW,
    "probes": 1,
    "is_probe": True,
    "query_ids": [WIDE_QUERY_ID],
}
_SEARCH = {"id": SEARCH_ID}
_QUERY = {"id": QUERY_ID}
_RUN = {"id": RUNNING_ID}
_ITEM = {"id": uuid_of(f"item{WAITING}")}
_QUEUED = {"id": uuid_of(f"ledger{QUEUED}")}
_VACANCY = {"id": VACANCY}
_MESSAGE = {"id": uuid_of(f"message{SUBMITTED}")}
_NEW = {"vacancy_id": NEW_VACANCY, "id": NEW_VACANCY, "application_id": OTHER_UUID}
_WIDE = {"query_id": WIDE_QUERY_ID, "most": 30, "matches": detail_backfill.MATCHES_SCANNED}
_QUERIES = {"ids": [uuid_of(f"query{number}") for number in range(1, DUE + 1)]}
_UNSENT = {"states": list(cancellation.UNSENT_STATES_SQL), "looked_at": cancellation.SCAN_BATCH}
_AFTER_MATCH = {"after_at": NOW - timedelta(hours=100), "after_vacancy_id": VACANCY}
_TO_SCORE = {"after_at": None, "after_vacancy_id": None, "limit": matches.MAX_SCORED}
_RESUME_DIGEST = hashlib.md5(f"resume{ACCOUNT}".encode(), usedforsecurity=False).hexdigest()
_RESUME = {
    "resume_id": _RESUME_DIGEST + _RESUME_DIGEST[:6],
    "seen": NOW + timedelta(hours=1),
    "outcome": "raised",
}
_PERIOD = {"since": NOW - 90 * DAY}
_PAGE = [
    {
        "id": str(FIRST_VACANCY + number),
        "title": "title",
        "has_test": False,
        "archived": False,
        "vacancy": "{}",
        "hex": "00",
        "repost_key": "00",
        "published_at": NOW.isoformat(),
    }
    for number in range(3_000 - PAGE // 2, 3_000 + PAGE // 2)
]
# An account that no endpoint writes rows for: all of a person are exported and deleted.
_UNUSED: dict[str, Any] = {
    "account_id": uuid_of(f"account{ACCOUNT + 1}"),
    "user_id": uuid_of(f"user{ACCOUNT + 1}"),
    "user_ids": [uuid_of(f"user{ACCOUNT + 1}")],
}
# Values of single statements; a tuple for one with unnamed placeholders.
OWN: dict[str, dict[str, Any] | tuple[Any, ...]] = {
    "accounts.access_changes.UPDATE_ACCOUNT_ACCESS": {"seen": None, "state": "captcha"},
    "accounts.account_connection.INSERT_ACCOUNT": {"hh_user_id": "new"},
    "accounts.history_transfer.INSERT_USER_OF_ACCOUNT": {"email": "other@session.invalid"},
    "accounts.history_transfer.UPDATE_APPLICATIONS_RETURNED": {"heir": uuid_of("user1")},
    "accounts.history_transfer.UPDATE_QUEUE_ITEMS_RETURNED": {"heir": uuid_of("user1")},
    "accounts.login.DELETE_OLD_LOGINS": {"before": NOW - 90 * DAY},
    "applications.idempotency.SELECT_IDEMPOTENCY_KEY": (VALUES["account_id"], "key"),
    "applications.acceptance.INSERT_APPLICATION": {**_NEW, "state": "queued"},
    "applications.campaigns.cancellation.UPDATE_QUEUE_ITEMS_CANCELLED": {"workflow_id": None},
    "applications.campaigns.cancellation.SELECT_UNSENT_OF_CAMPAIGN": _UNSENT,
    "applications.campaigns.cancellation.SELECT_UNSENT_OF_DELETED_ITEMS": _UNSENT,
    "applications.campaigns.commands.INSERT_QUEUE_ITEMS": _NEW,
    "applications.campaigns.commands.UPDATE_APPLICATIONS_EXPIRY": _UNSENT,
    "applications.campaigns.item_intake.LOCK_PENDING_ITEM": _ITEM,
    "applications.campaigns.item_intake.SELECT_PENDING_ITEMS": {"most": item_intake.INTAKE_BATCH},
    "applications.campaigns.item_intake.UPDATE_QUEUE_ITEM_FAILED": _ITEM,
    "applications.campaigns.item_intake.UPDATE_APPLICATION_ADOPTED": _QUEUED,
    "applications.campaigns.send_schedule.COUNT_WAITING_APPLICATIONS": {
        "states": ["queued", "waiting_quota"]
    },
    "applications.campaigns.send_schedule.UPDATE_APPLICATIONS_DUE_AT": {
        "ids": [uuid_of(f"ledger{WAITING}")],
        "due_at": [NOW],
    },
    "applications.campaigns.store.INSERT_CAMPAIGN": {"workflow_id": OTHER_UUID},
    "applications.campaigns.store.UPDATE_CAMPAIGN_STATE": {"from": ["running"], "state": "paused"},
    "applications.commands.COUNT_APPLICATIONS": {"state": None},
    "applications.commands.SELECT_APPLICATIONS": {
        "state": None,
        "after_created_at": NOW - timedelta(hours=100),
        "after_id": LEDGER_ID,
    },
    "applications.conversations.commands.SELECT_MESSAGES": {
        "after_created_at": NOW - timedelta(hours=100),
        "after_number": SUBMITTED,
    },
    "applications.conversations.commands.SELECT_MESSAGE": {"key": "press"},
    "applications.conversations.store.INSERT_MESSAGES": {
        "messages": json.dumps(
            [
                {
                    "position": 0,
                    "id": "new",
                    "author": "employer",
                    "state": "text",
                    "text": "Здравствуйте!",
                    "created_at": NOW.isoformat(),
                }
            ]
        )
    },
    "applications.conversations.store.INSERT_REPLY": {
        "ledger_id": LEDGER_ID,
        "state": "sending",
        "key": "new press",
    },
    "applications.conversations.store.SELECT_REPLY": _MESSAGE,
    "applications.conversations.store.UPDATE_REPLY": {**_MESSAGE, "before": "sending"},
    "applications.conversations.store.UPDATE_REPLY_CALLED": _MESSAGE,
    "applications.reviews.commands.SELECT_REVIEWS": {
        "after_created_at": NOW - timedelta(hours=100),
        "after_id": LEDGER_ID,
    },
    "applications.campaigns.progress.SELECT_QUEUE_ITEMS": {
        "after_priority": 0,
        "after_created_at": NOW,
        "after_id": uuid_of(f"item{WAITING}"),
    },
    "saved_searches.matches.SELECT_MATCHES_ANNOUNCED": _AFTER_MATCH,
    "saved_searches.matches.SELECT_MATCHES_FILTERED": _AFTER_MATCH,
    "saved_searches.matches.SELECT_MATCHES_TO_SCORE": _TO_SCORE,
    "saved_searches.matches.SELECT_FILTERED_TO_SCORE": _TO_SCORE,
    "notifications.telegram_letters.SELECT_LETTERS_TO_REVIEW": {
        "ids": [uuid_of(f"ledger{REVIEW}")]
    },
    "vacancies.reading.SELECT_DETAIL": _VACANCY,
    "filters.store.SELECT_NEWEST_VACANCIES": {"most": filters.MAX_PREVIEWED},
    "filters.store.SELECT_ATTEMPTS_OF_WEEK": {"since": NOW - 7 * DAY},
    **{
        f"resume_raises.store.{name}": _RESUME
        for name in (
            "SELECT_RAISE",
            "UPSERT_RAISE_CLAIMED",
            "UPSERT_RAISE_SCHEDULE",
            "UPDATE_RAISE_ASKED",
            "UPDATE_RAISE_DUE",
            "UPDATE_RAISE_OUTCOME",
            "UPDATE_RAISE_RELEASED",
            "UPDATE_RAISE_SEEN",
        )
    },
    "autopilot.ceilings.SELECT_SENT": {"since": NOW - 2 * DAY},
    "autopilot.store.UPSERT_AUTOPILOT": {"min_fit": 60},
    "autopilot.found.INSERT_ITEMS": {"vacancy_ids": VACANCIES[:20]},
    "applications.pacing.SELECT_DUE_OF_CAMPAIGN": _QUEUED,
    "applications.ledger.UPDATE_APPLICATION_STATE": {
        **_QUEUED,
        "from": ["queued"],
        "state": "preparing",
    },
    "applications.ledger.UPDATE_LETTER": _QUEUED,
    "applications.ledger.UPDATE_FAILED_CALLS": _QUEUED,
    "applications.negotiation_sync.SELECT_WITH_NEGOTIATION": {
        "ids": [str(SUBMITTED + number) for number in range(50)]
    },
    "applications.negotiation_updates.INSERT_APPLICATION_BY_HAND": _NEW,
    "applications.retention.DELETE_UNREFERENCED_JOBS": {
        "ids": [uuid_of(f"job{number}") for number in range(3_000, 3_000 + PAGE)]
    },
    "applications.retention.LOCK_OLD_JOBS": {"before": NOW - 60 * DAY},
    "applications.retention.DELETE_OLD_HISTORY": {"before": NOW - 8 * DAY},
    "applications.retention.DELETE_OLD_KEYS": {"before": NOW - 8 * DAY},
    "applications.applying.SELECT_ACCOUNTS_WAITING_IN_VAIN": {"looked_at": applying.LOOKED_AT},
    "applications.sweep.SELECT_ACCESS_RESTORED_EARLIER": {"looked_at": sweep.SCAN_BATCH},
    "applications.sweep.UPDATE_APPLICATION_RENEWED": _QUEUED,
    "notifications.channel_store.SELECT_CHANNEL_OF_ADDRESS": {"kind": "email"},
    "notifications.channel_store.SELECT_CHANNELS_OF_ADDRESS": {"kind": "email"},
    "notifications.channel_store.INSERT_CHANNEL": {
        "id": OTHER_UUID,
        "kind": "webhook",
        "state": "unconfirmed",
    },
    **{
        f"notifications.channel_store.{name}": {"id": uuid_of(f"channel{ACCOUNT}")}
        for name in (
            "DELETE_CHANNEL",
            "SELECT_CHANNEL",
            "UPDATE_CHANNEL_ACTIVE",
            "UPDATE_CHANNEL_ADDRESS",
            "UPDATE_CHANNEL_DISABLED",
            "UPDATE_CHANNEL_ROTATED",
            "UPDATE_CHANNEL_UNCONFIRMED",
            "UPDATE_NOTIFICATIONS_CANCELLED",
        )
    },
    "notifications.commands.SELECT_RECENT_NOTIFICATIONS": {"most": 50},
    "notifications.composing.SELECT_JOB_NAMES": {"ids": VACANCIES[:50]},
    "notifications.composing.SELECT_STATES_OF_APPLICATIONS": {"ids": [str(LEDGER_ID)]},
    "notifications.delivery.UPDATE_NOTIFICATION_ENDED": {"id": SOME_UUID, "state": "sent"},
    "notifications.delivery.UPDATE_NOTIFICATION_POSTPONED": {"id": SOME_UUID},
    "notifications.planner.UPDATE_NOTIFICATION_CONTENT": {"id": SOME_UUID},
    "notifications.wake_up.DELETE_ENDED_NOTIFICATIONS": {"before": NOW - 30 * DAY},
    "public_feed.outbox.DELETE_ENDED_ENTRIES": {"before": NOW - 30 * DAY},
    "public_feed.outbox.INSERT_ENTRIES": {
        "ids": [str(FIRST_VACANCY - number) for number in range(1, PAGE)]
    },
    "public_feed.publisher.UPDATE_ENTRIES_ENDED": {"state": "posted"},
    "public_feed.publisher.LOCK_WAITING_ENTRIES": {"most": PAGE},
    "realtime.event_log.DELETE_OLD_EVENTS": {"before": NOW - 7 * DAY},
    "saved_searches.canonical_searches.SELECT_QUERY": (QUERY_ID,),
    "saved_searches.canonical_searches.LOCK_QUERY": (QUERY_ID,),
    "saved_searches.canonical_searches.LOCK_DUE_QUERIES": {"most": scheduler.CLAIM_BATCH},
    "saved_searches.canonical_searches.LOCK_SEARCHES_OF_QUERIES": _QUERIES,
    "saved_searches.canonical_searches.SELECT_QUERIES_RUNNING": _QUERIES,
    "saved_searches.canonical_searches.UPDATE_QUERIES_DUE_AT": _QUERIES,
    "saved_searches.canonical_searches.UPDATE_QUERIES_DEFERRED": _QUERIES,
    "saved_searches.canonical_searches.UPDATE_MATCHES_SEEN": _QUERY,
    "saved_searches.canonical_searches.COUNT_MATCHES_SEEN": _QUERY,
    "saved_searches.canonical_searches.INSERT_MATCHES": _QUERY,
    "saved_searches.canonical_searches.UPDATE_QUERY_COMPLETED": _QUERY,
    "saved_searches.canonical_searches.LOCK_SEARCH": _SEARCH,
    "saved_searches.canonical_searches.UPDATE_SEARCH_ATTACHED": _SEARCH,
    "saved_searches.canonical_searches.UPDATE_SEARCHES_NEXT_RUN": {
        "wanted": json.dumps(
            [{"id": str(SEARCH_ID), "run_id": str(RUN_ID), "next_run_at": NOW.isoformat()}]
        ),
        "ids": [SEARCH_ID],
    },
    "saved_searches.commands.INSERT_SEARCH": {"query_id": WIDE_QUERY_ID},
    "saved_searches.commands.UPDATE_SEARCH": _SEARCH,
    "saved_searches.commands.DELETE_SEARCH": _SEARCH,
    "saved_searches.commands.SELECT_SEARCH": _SEARCH,
    "saved_searches.commands.LOCK_SEARCH": _SEARCH,
    "saved_searches.commands.SELECT_DUPLICATE": _SEARCH,
    "saved_searches.notifications.LOCK_ATTACHED_SEARCH": _SEARCH,
    "saved_searches.notifications.UPDATE_SEARCH_DETACHED": _SEARCH,
    "saved_searches.run_store.SELECT_RUNNING": (QUERY_ID,),
    "saved_searches.run_store.SELECT_RUN": (RUN_ID,),
    "saved_searches.run_store.SELECT_LATEST_RUN": (QUERY_ID,),
    "saved_searches.run_store.SELECT_UNNOTIFIED_RUNS": (QUERY_ID,),
    "saved_searches.run_store.INSERT_RUN": {"query_id": uuid_of("query50")},
    "saved_searches.run_store.UPDATE_RUN_STEP": _RUN,
    "saved_searches.run_store.UPDATE_RUN_ENDED": {**_RUN, "state": "completed"},
    "saved_searches.run_store.UPDATE_RUN_DEFERRED": _RUN,
    "statistics.store.SELECT_RESULTS": _PERIOD,
    **{
        f"statistics.store.{name}": _PERIOD
        for name in vars(statistics_store)
        if name.startswith(("SELECT_OUTCOMES", "SELECT_JOBS"))
    },
    "vacancies.detail_backfill.SELECT_VACANCIES_WITHOUT_DETAIL": _WIDE,
    "vacancies.detail_backfill.SELECT_VACANCIES_GONE": _WIDE,
    "vacancies.detail_backfill.SELECT_QUERIES_MISSING_DETAILS": {
        "most": scheduler.BACKFILL_QUERIES
    },
    "vacancies.detail_backfill.SELECT_QUERIES_MISSING_DETAILS_BY_AGE": {
        "most": scheduler.BACKFILL_QUERIES,
        "seen": 100 * scheduler.BACKFILL_QUERIES,
        "looked_at": detail_backfill.NEWEST_SCANNED,
    },
    "vacancies.detail_backfill.UPDATE_VACANCY_CLAIMED": _VACANCY,
    "vacancies.detail_backfill.UPDATE_VACANCY_RELEASED": _VACANCY,
    "vacancies.regrouping.LOCK_QUERIES": {"ids": VACANCIES[:2]},
    "vacancies.regrouping.LOCK_JOBS": {"ids": VACANCIES[:2]},
    "vacancies.regrouping.UPDATE_ORIGINALS": {"originals": VACANCIES[2:4]},
    "vacancies.regrouping.UPDATE_MATCHES_RENUMBERED": {"ids": VACANCIES[:2]},
    "vacancies.reposts.SELECT_CANDIDATES": {
        "since": [NOW - 30 * DAY] * PAGE,
        "until": [NOW] * PAGE,
        "new": VACANCIES,
        "most": 20,
    },
    "vacancies.store.SELECT_JOBS_TO_STORE": {
        "hashes": ["00"] * len(VACANCIES),
        "archived": [False] * len(VACANCIES),
    },
    "vacancies.store.UPSERT_JOBS": {"seen": json.dumps(_PAGE), "now": UTC_NOW},
    "vacancies.store.UPDATE_DETAIL": {**_VACANCY, "hash": "00", "now": UTC_NOW},
    "vacancies.store.INSERT_DETAIL": {**_NEW, "hash": "00", "now": UTC_NOW},
    "vacancies.store.SELECT_DETAIL_IS_OTHER": {**_VACANCY, "hash": "00"},
    "vacancies.store.SELECT_RECENT_DETAIL": _VACANCY,
    "vacancies.store.UPDATE_JOB_CLOSED": {**_VACANCY, "now": UTC_NOW},
    "vacancies.store.SELECT_VACANCY_ID": (uuid_of("job4000"),),
}


# What must be so for a statement to have work; it is executed in the same transaction before it.
BEFORE = {
    "applications.applying.SELECT_ACCOUNTS_WAITING_IN_VAIN": """
        INSERT INTO hh_method_access (method, state, since, confirmed_at, probe_at)
        VALUES ('apply', 'closed', %(now)s, %(now)s, %(until)s)
        ON CONFLICT (coalesce(account_id, '00000000-0000-0000-0000-000000000000'), method)
        DO UPDATE SET state = 'closed', probe_at = excluded.probe_at
    """,
}


@dataclass(frozen=True)
class Statement:
    """An SQL constant of the package: its name there without the package, and its text."""

    name: str
    text: str

    def values(self) -> dict[str, Any] | tuple[Any, ...]:
        """Return the values with which it is measured. Raises :class:`KeyError` for a placeholder
        that has none."""
        own = OWN.get(self.name, {})
        if isinstance(own, tuple):
            return own
        if self.name.startswith("personal_data."):
            own = _UNUSED | own
        names = PLACEHOLDER.findall(self.text)
        return {name: own[name] if name in own else VALUES[name] for name in names}

    def prepare(self, connection: psycopg.Connection[Any]) -> None:
        """Make the rows that it needs to have work, in the transaction that executes it."""
        if self.name in BEFORE:
            connection.execute(BEFORE[self.name], VALUES)


def statements() -> list[Statement]:
    """Return all statements of the package, each under the module that defines it."""
    return sorted(_collect(), key=lambda statement: statement.name)


def measured() -> list[Statement]:
    """Return the statements that are measured: all that are not exempt."""
    return [statement for statement in statements() if statement.name not in EXEMPT]


def _collect() -> Iterator[Statement]:
    for module in pkgutil.walk_packages(ullgetthejob.__path__, f"{ullgetthejob.__name__}."):
        constants = vars(importlib.import_module(module.name))
        for name, text in constants.items():
            if name.isupper() and isinstance(text, str) and STATEMENT.match(text):
                room = module.name.removeprefix(f"{ullgetthejob.__name__}.")
                yield Statement(f"{room}.{name}", text)
