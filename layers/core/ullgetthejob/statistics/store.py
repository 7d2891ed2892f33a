"""The statements of the statistics: all read one account's rows, through an index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from ullgetthejob.platform.postgres import Connection
    from ullgetthejob.statistics.models import By

    Row = dict[str, Any]

MANY_VACANCIES = 50  # of an employer: more need not be counted
# The applications of a period. Index: application_ledger_results_index.
_SENT = """
    sent.account_id = %(account_id)s AND sent.state = 'submitted'
        AND sent.submitted_at >= %(since)s AND sent.submitted_at < %(until)s
"""
# Steps of a duration in hours: hours for two days, six hours (hh.ru is read no more often when
# little happens) for two weeks, then weeks; so that there are few rows whatever the number of
# applications. Up for an answer, down for one that still waits.
_STEP = "CASE WHEN waited <= 48 THEN 1 WHEN waited <= 336 THEN 6 ELSE 168 END"
_HOURS = f"""
    CASE WHEN is_answered THEN {_STEP} * ceil(waited / {_STEP})
    ELSE {_STEP} * floor(waited / {_STEP}) END
"""
_WAITED = """
    greatest(0, date_part('epoch', coalesce(sent.first_answered_at, %(now)s) - sent.submitted_at)
        / 3600)
"""
# "settled": those that were sent long enough ago to be compared, and what they reached within the
# same time. The others count what was reached so far.
_COUNTS = """
    count(*) AS applied, count(*) FILTER (WHERE by_hand) AS by_hand,
    count(first_seen_at) AS seen, count(first_answered_at) AS answered,
    count(first_invited_at) AS invited, count(first_offered_at) AS offer,
    count(*) FILTER (WHERE is_settled) AS settled,
    count(*) FILTER (WHERE is_settled AND first_seen_at <= settles_at) AS settled_seen,
    count(*) FILTER (WHERE is_settled AND first_answered_at <= settles_at) AS settled_answered,
    count(*) FILTER (WHERE is_settled AND first_invited_at <= settles_at) AS settled_invited
"""


def _compose(
    key: str, joins: str = "", *, sizes: str = "", late_key: str = "key", late_join: str = ""
) -> str:
    """Return the statement that counts a period's applications by *key*, by whether they were
    answered, and by the hours until then: in each row those that reached each stage.

    *sizes*: a CTE about the keys of ``sent``; *late_key* and *late_join*: the key that follows.
    """
    # OFFSET 0: what is computed of an application is computed once, and kept nowhere.
    return f"""
        WITH sent AS (
            SELECT {key} AS key, sent.by_hand, sent.first_seen_at, sent.first_answered_at,
                sent.first_invited_at, sent.first_offered_at, {_WAITED} AS waited,
                sent.first_answered_at IS NOT NULL AS is_answered,
                sent.submitted_at + %(window)s AS settles_at,
                sent.submitted_at + %(window)s <= %(now)s AS is_settled
            FROM application_ledger AS sent {joins} WHERE {_SENT} OFFSET 0
        ){sizes}
        SELECT {late_key} AS key, is_answered, ({_HOURS})::integer AS hours, {_COUNTS}
        FROM sent {late_join} GROUP BY 1, 2, 3
    """  # noqa: S608


SELECT_OUTCOMES = _compose("NULL::text")
# The search that decided about the vacancy for the account: announced it, or dropped it.
SELECT_OUTCOMES_BY_SEARCH = _compose(
    "found.saved_search_id::text",
    """LEFT JOIN account_vacancies AS found
        ON found.account_id = sent.account_id AND found.vacancy_id = sent.vacancy_id""",
)
SELECT_OUTCOMES_BY_TEMPLATE = _compose("sent.letter_template_id::text")
SELECT_OUTCOMES_BY_RESUME = _compose("sent.resume_id")
SELECT_OUTCOMES_BY_FIT = _compose(
    "(CASE WHEN sent.fit >= 80 THEN 80 ELSE 20 * (sent.fit / 20) END)::text"
)
SELECT_OUTCOMES_BY_HOUR = _compose(
    "extract(hour FROM sent.submitted_at AT TIME ZONE %(time_zone)s)::integer::text"
)
SELECT_OUTCOMES_BY_WEEKDAY = _compose(
    "extract(isodow FROM sent.submitted_at AT TIME ZONE %(time_zone)s)::integer::text"
)
# hh.ru does not say how many people an employer has: the number of its vacancies that Core has
# found stands for its size. Each employer is counted once, and no further than MANY_VACANCIES. A
# subquery that returns one value is looked up by its key; a join may read all jobs.
SELECT_OUTCOMES_BY_EMPLOYER_SIZE = _compose(
    "(SELECT job.employer_id FROM jobs AS job WHERE job.external_id = sent.vacancy_id)",
    sizes=f""", sizes AS MATERIALIZED (
        SELECT employers.key, (
            SELECT count(*) FROM (
                SELECT FROM jobs WHERE employer_id = employers.key LIMIT {MANY_VACANCIES}
            ) AS known
        ) AS vacancies
        FROM (SELECT DISTINCT key FROM sent WHERE key IS NOT NULL) AS employers
    )""",  # noqa: S608
    late_key=f"""CASE WHEN vacancies >= {MANY_VACANCIES} THEN '{MANY_VACANCIES}'
        WHEN vacancies >= 10 THEN '10' WHEN vacancies >= 2 THEN '2' WHEN vacancies >= 0 THEN '1'
        END""",
    late_join="LEFT JOIN sizes USING (key)",
)
OUTCOMES: dict[By, str] = {
    "none": SELECT_OUTCOMES,
    "search": SELECT_OUTCOMES_BY_SEARCH,
    "template": SELECT_OUTCOMES_BY_TEMPLATE,
    "resume": SELECT_OUTCOMES_BY_RESUME,
    "fit": SELECT_OUTCOMES_BY_FIT,
    "hour": SELECT_OUTCOMES_BY_HOUR,
    "weekday": SELECT_OUTCOMES_BY_WEEKDAY,
    "employer_size": SELECT_OUTCOMES_BY_EMPLOYER_SIZE,
}


def _count_jobs(key: str) -> str:
    """Return the statement that counts the jobs found in a period: the postings of one job count
    once. "applied": to any of the postings."""
    return f"""
        SELECT key, count(*) AS found, count(*) FILTER (WHERE is_told) AS told,
            count(*) FILTER (WHERE is_told AND is_applied) AS applied
        FROM (
            SELECT {key} AS key, bool_or(found.seq IS NOT NULL) AS is_told,
                bool_or(sent.vacancy_id IS NOT NULL) AS is_applied
            FROM account_vacancies AS found
            LEFT JOIN application_ledger AS sent ON sent.account_id = found.account_id
                AND sent.vacancy_id = found.vacancy_id AND sent.state = 'submitted'
                AND sent.submitted_at IS NOT NULL
            WHERE found.account_id = %(account_id)s
                AND found.at >= %(since)s AND found.at < %(until)s
            GROUP BY found.original_id
        ) AS job
        GROUP BY key
    """  # noqa: S608


SELECT_JOBS_FOUND = _count_jobs("NULL::text")
# By the search that announced the job, or else one that found it.
SELECT_JOBS_FOUND_BY_SEARCH = _count_jobs("""
    coalesce(max(found.saved_search_id::text) FILTER (WHERE found.seq IS NOT NULL),
             max(found.saved_search_id::text))
""")
SELECT_SEARCH_NAMES = """
    SELECT id::text AS key, name AS label FROM saved_searches WHERE account_id = %(account_id)s
"""
SELECT_TEMPLATE_NAMES = """
    SELECT id::text AS key, name AS label FROM letter_templates WHERE account_id = %(account_id)s
"""
# As hh.ru showed them last, however long ago.
SELECT_RESUME_TITLES = """
    SELECT resume->>'id' AS key, coalesce(resume->>'title', '') AS label
    FROM account_resumes, jsonb_array_elements(resumes) AS resume
    WHERE account_id = %(account_id)s
"""
LABELS: dict[By, str] = {
    "search": SELECT_SEARCH_NAMES,
    "template": SELECT_TEMPLATE_NAMES,
    "resume": SELECT_RESUME_TITLES,
}
# Sent by then, and no answer yet; not what the person has hidden on hh.ru.
_SILENT = """
    sent.account_id = %(account_id)s AND sent.state = 'submitted'
        AND sent.submitted_at < %(sent_before)s AND sent.first_answered_at IS NULL
        AND coalesce(sent.hh_state, '') <> 'hidden'
"""
SELECT_SILENT = f"""
    SELECT sent.id, sent.vacancy_id, sent.submitted_at, sent.first_seen_at, sent.by_hand,
        job.title, job.company, job.closed_at IS NOT NULL AS is_closed
    FROM application_ledger AS sent LEFT JOIN jobs AS job ON job.external_id = sent.vacancy_id
    WHERE {_SILENT}
        AND (%(after_id)s::uuid IS NULL
            OR (sent.submitted_at, sent.id) < (%(after_submitted_at)s, %(after_id)s))
    ORDER BY sent.submitted_at DESC, sent.id DESC LIMIT %(limit)s OFFSET %(offset)s
"""  # noqa: S608
COUNT_SILENT = f"SELECT count(*) AS found FROM application_ledger AS sent WHERE {_SILENT}"  # noqa: S608
SELECT_RESULTS = f"""
    SELECT sent.id, sent.vacancy_id, job.title, job.company, sent.by_hand, sent.submitted_at,
        sent.first_seen_at, sent.first_answered_at, sent.first_invited_at, sent.first_offered_at,
        sent.hh_state, sent.resume_id, sent.fit, template.name AS template, search.name AS search
    FROM application_ledger AS sent
    LEFT JOIN jobs AS job ON job.external_id = sent.vacancy_id
    LEFT JOIN letter_templates AS template
        ON template.id = sent.letter_template_id AND template.account_id = sent.account_id
    LEFT JOIN account_vacancies AS found
        ON found.account_id = sent.account_id AND found.vacancy_id = sent.vacancy_id
    LEFT JOIN saved_searches AS search
        ON search.id = found.saved_search_id AND search.account_id = sent.account_id
    WHERE {_SENT}
        AND (%(after_id)s::uuid IS NULL
            OR (sent.submitted_at, sent.id) > (%(after_submitted_at)s, %(after_id)s))
    ORDER BY sent.submitted_at, sent.id LIMIT %(limit)s
"""  # noqa: S608


def read_outcomes(by: By, values: Mapping[str, Any], *, connection: Connection) -> list[Row]:
    """Return the applications of a period by group and hours, as :func:`_compose` says."""
    return connection.execute(OUTCOMES[by], values).fetchall()


def read_jobs_found(by: By, values: Mapping[str, Any], *, connection: Connection) -> list[Row]:
    """Return the jobs that saved searches found in a period; by search if that is the group."""
    statement = SELECT_JOBS_FOUND_BY_SEARCH if by == "search" else SELECT_JOBS_FOUND
    return connection.execute(statement, values).fetchall()


def read_labels(by: By, account_id: UUID | None, *, connection: Connection) -> dict[str, str]:
    """Return the names of groups by their keys, as far as they have names of their own."""
    if by not in LABELS:
        return {}
    rows = connection.execute(LABELS[by], {"account_id": account_id}).fetchall()
    return {row["key"]: row["label"] for row in rows}
