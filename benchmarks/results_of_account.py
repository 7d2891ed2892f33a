"""The statistics of an account with 50,000 applications, among a million of other accounts.

``python -m benchmarks.results_of_account`` makes the rows in an embedded Postgres and prints the
milliseconds of each answer of ``/api/stats``, of a page of silent ones and of a part of the CSV:
the median of several, after one that warms the cache. Beside the time of the clock, which other
programs of the machine lengthen, stands the processor's time of both sides.
"""

from __future__ import annotations

import tempfile
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, get_args
from uuid import UUID

import psutil
import psycopg
from psycopg.rows import dict_row

from local.postgres.server import EmbeddedPostgres
from migrations.upgrade import upgrade
from ullgetthejob.accounts.access import Access
from ullgetthejob.accounts.people import Person
from ullgetthejob.platform.authentication import Caller
from ullgetthejob.platform.context import Context
from ullgetthejob.statistics import csv_export, funnel, models, silent

if TYPE_CHECKING:
    from collections.abc import Callable

ALL, ACCOUNTS, JOBS = 1_050_000, 1_000, 1_000_000  # each 21st application is of the one account
CALLS = 5
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
ACCOUNT = UUID("00000000-0000-4000-8000-000000000001")
YEAR = {"from": "2026-01-01", "to": "2026-11-28"}

ROWS = """
    INSERT INTO accounts (id, hh_user_id, access_state, access_changed_at, created_at)
    SELECT CASE a WHEN 0 THEN %(account)s ELSE md5('account' || a)::uuid END, a::text, 'ok',
        %(now)s, %(now)s FROM generate_series(0, %(accounts)s) AS a;
    INSERT INTO jobs (external_id, hh_vacancy_id, title, company, employer_id, inserted_at,
        updated_at)
    SELECT j::text, j::text, 'Python developer ' || j, 'Company', (j %% 20000)::text,
        '2026-01-01', '2026-01-01' FROM generate_series(1, %(jobs)s) AS j;
    INSERT INTO application_ledger (account_id, user_id, vacancy_id, state, letter, resume_id, fit,
        letter_template_id, submitted_at, created_at, updated_at, hh_state, hh_updated_at,
        first_seen_at, first_answered_at, first_invited_at)
    SELECT CASE WHEN n %% 21 = 0 THEN %(account)s
            ELSE md5('account' || 1 + n %% %(accounts)s)::uuid END,
        %(account)s, (1 + n * 31 %% %(jobs)s)::text || CASE WHEN n > %(jobs)s THEN 'x' ELSE '' END,
        'submitted', repeat(md5(n::text), 15), md5((n %% 5)::text), n %% 101,
        md5('template' || n %% 8)::uuid, sent, sent, sent, 'response', sent,
        CASE WHEN n %% 4 > 0 THEN sent + interval '9 hours' END,
        CASE WHEN n %% 4 > 1 THEN sent + make_interval(hours => 9 + n %% 300) END,
        CASE WHEN n %% 8 = 7 THEN sent + make_interval(hours => 9 + n %% 300) END
    FROM generate_series(1, %(all)s) AS n,
        LATERAL (SELECT %(now)s - make_interval(mins => n %% 475000) AS sent) AS times;
    INSERT INTO account_vacancies (account_id, vacancy_id, original_id, saved_search_id, seq, at)
    SELECT account_id, vacancy_id, vacancy_id, md5('search' || length(vacancy_id))::uuid, 1,
        created_at FROM application_ledger;
"""


def main() -> None:
    """Make the rows, and print a line for each answer."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        Path(folder).chmod(0o755)  # Postgres's own user must be able to enter it
        with EmbeddedPostgres(Path(folder) / "postgres") as server:
            upgrade(server.url)
            with psycopg.connect(server.url, row_factory=dict_row, autocommit=True) as connection:
                _fill(connection)
                _measure(connection)


def _fill(connection: psycopg.Connection[Any]) -> None:
    values = {"account": ACCOUNT, "now": NOW, "accounts": ACCOUNTS, "jobs": JOBS, "all": ALL}
    connection.execute("SET statement_timeout = 0")
    for statement in ROWS.split(";")[:-1]:
        connection.execute(statement, values)
    for table in ("application_ledger", "account_vacancies", "jobs"):
        connection.execute(f"VACUUM ANALYZE {table}")


def _measure(connection: psycopg.Connection[Any]) -> None:
    context = Context(connection, lambda: NOW, Caller("service", "benchmark"))
    person = Person(ACCOUNT, ACCOUNT, Access("ok"))
    server = psutil.Process(connection.info.backend_pid)
    counted = connection.execute(
        "SELECT count(*) AS own FROM application_ledger WHERE account_id = %s", (ACCOUNT,)
    ).fetchone()
    print(f"applications: {counted['own'] if counted else 0:,} of {ALL:,}")
    for by in get_args(models.By):
        query = models.StatsQuery.model_validate({**YEAR, "by": by})
        _time(f"by {by}", server, partial(funnel.read_stats, query, person, context))
    deep = models.SilentQuery(page=100)
    _time("silent, a deep page", server, lambda: silent.list_silent(deep, person, context))
    table = models.CsvQuery.model_validate(YEAR)
    _time("a part of the CSV", server, lambda: csv_export.export(table, person, context))


def _time(name: str, server: psutil.Process, call: Callable[[], Any]) -> None:
    call()
    took, worked = [], []
    for _ in range(CALLS):
        began, used = time.perf_counter(), _processor_s(server)
        call()
        took.append((time.perf_counter() - began) * 1000)
        worked.append((_processor_s(server) - used) * 1000)
    print(f"{name:24} {median(took):7.0f} ms, processor {median(worked):7.0f} ms")


def _processor_s(server: psutil.Process) -> float:
    """Return the seconds that this process and the server's have worked so far."""
    return time.process_time() + sum(server.cpu_times()[:2])


if __name__ == "__main__":
    main()
