"""The statistics of a history that hh.ru's sandbox and the real transitions have written."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from migrations.upgrade import downgrade, upgrade
from tests.harness.applying import publish
from tests.harness.negotiations import DAY_S, HOUR, SyncHarness
from ullgetthejob.statistics import csv_export, funnel, models, silent


@pytest.fixture
def harness(quiet_world):
    return SyncHarness(quiet_world)


def act(harness, negotiation_id, *acts, text=None):
    """Let an employer act, with a reading by Core after each act."""
    for kind in acts:
        harness.world.sandbox.advance(HOUR)
        harness.world.sandbox.employer_does(negotiation_id, kind, text)
        harness.sync()


def stats(harness, **query):
    return funnel.read_stats(
        models.StatsQuery.model_validate(query), harness.person, harness.context
    )


def counts(shown):
    return {stage.stage: stage.count for stage in shown.stages}


def by_key(shown):
    return {group.key: counts(group)["applied"] for group in shown.groups}


def silent_ids(harness, **query):
    page = silent.list_silent(models.SilentQuery(**query), harness.person, harness.context)
    return [item.job_id for item in page.items], page


# ── stages ───────────────────────────────────────────────────────────────────────────────────────


def test_invited_then_refused_counts_as_invited_ever(harness):
    made = harness.by_hand(count=5)
    harness.sync()
    act(harness, made[0], "invitation", "discard")
    act(harness, made[1], "discard")
    act(harness, made[2], "viewed")
    act(harness, made[3], "message", text="Когда вам удобно?")
    rows = {row["negotiation_id"]: row for row in harness.rows()}
    assert (rows[made[0]]["hh_state"], rows[made[3]]["hh_state"]) == ("discard", "response")
    assert counts(stats(harness).all) == {
        "found": 0, "told": 0, "applied": 5, "seen": 4, "answered": 3, "invited": 1, "offer": 0,
    }  # fmt: skip
    invited, answered = rows[made[0]]["first_invited_at"], rows[made[0]]["first_answered_at"]
    assert invited == answered < rows[made[0]]["hh_updated_at"]


def test_hire_is_an_offer_and_stages_keep_their_first_times(harness):
    made = harness.by_hand()
    harness.sync()
    act(harness, made, "viewed")
    seen = harness.rows()[0]["first_seen_at"]
    act(harness, made, "interview", "hired", "discard")
    (row,) = harness.rows()
    times = [row[f"first_{name}_at"] for name in ("seen", "answered", "invited", "offered")]
    assert times[0] == seen
    assert times == sorted(times)
    assert counts(stats(harness).all)["offer"] == 1


def test_origin_says_who_has_sent(harness):
    harness.by_hand(count=2)
    harness.submit(publish(harness))
    harness.run()
    harness.sync()
    shown = stats(harness).all
    assert (shown.by_core, shown.by_hand) == (1, 2)
    waiting = harness.submit(publish(harness))  # not sent: it is no application yet
    assert harness.row(waiting).state == "queued"
    assert counts(stats(harness).all)["applied"] == 3


def test_few_applications_claim_nothing(harness):
    harness.by_hand(count=3)
    harness.sync()
    shown = stats(harness, by="weekday")
    [answered] = [stage for stage in shown.all.stages if stage.stage == "answered"]
    assert (answered.rate.n, answered.rate.rate, answered.rate.low) == (3, None, None)
    assert {c.verdict for group in shown.groups for c in group.comparisons} == {"too_few"}
    assert shown.all.time_to_answer.waiting == 3
    assert shown.all.time_to_answer.of_all == models.Quartiles(q1=None, median=None, q3=None)


def test_many_applications_have_rates_and_quartiles(harness):
    made = harness.by_hand(count=24)
    harness.sync()
    harness.world.sandbox.advance(5.5 * HOUR)
    for negotiation_id in made[:12]:
        harness.world.sandbox.employer_does(negotiation_id, "discard")
    harness.sync()
    harness.world.sandbox.advance(DAY_S)
    shown = stats(harness).all
    [answered] = [stage for stage in shown.stages if stage.stage == "answered"]
    assert (answered.rate.rate, answered.rate.n) == (0.5, 24)
    assert answered.rate.low == pytest.approx(0.3143, abs=1e-4)
    time = shown.time_to_answer
    assert (time.answered, time.waiting) == (12, 12)
    assert time.of_answered == models.Quartiles(q1=None, median=None, q3=None)  # 12 are too few
    assert (time.of_all.q1, time.of_all.median, time.of_all.q3) == (6, 6, None)


def test_method_that_hh_closed_makes_outcomes_unknowable(harness):
    harness.by_hand(count=2)
    harness.sync()
    harness.connection.execute(
        "INSERT INTO hh_method_access (account_id, method, state, since, confirmed_at, probe_at)"
        " VALUES (%(id)s, 'negotiations', 'closed', %(now)s, %(now)s, %(later)s)"
        " ON CONFLICT (coalesce(account_id, '00000000-0000-0000-0000-000000000000'), method)"
        " DO UPDATE SET state = 'closed', probe_at = excluded.probe_at",
        {
            "id": harness.account_id,
            "now": harness.world.now(),
            "later": harness.world.now() + timedelta(days=60),
        },
    )
    shown = stats(harness)
    assert shown.unknowable == ["seen", "answered", "invited", "offer"]
    assert counts(shown.all)["answered"] is None
    harness.world.sandbox.advance(15 * DAY_S)
    _, page = silent_ids(harness)
    assert page.unknowable
    assert {item.suggestion for item in page.items} == {silent.UNKNOWN}


# ── groups ───────────────────────────────────────────────────────────────────────────────────────


def test_groups_add_up_to_the_whole(harness):
    harness.by_hand(count=6)
    harness.sync()
    ids = [row["id"] for row in harness.rows()]
    template = uuid4()
    with harness.connection.transaction():
        harness.connection.execute(
            "INSERT INTO letter_templates (id, account_id, name, text, created_at, updated_at)"
            " VALUES (%s, %s, 'Короткое', '', %s, %s)",
            (template, harness.account_id, harness.world.now(), harness.world.now()),
        )
        for number, ledger_id in enumerate(ids):
            harness.connection.execute(
                "UPDATE application_ledger SET letter_template_id = %s, fit = %s,"
                " submitted_at = %s WHERE id = %s",
                (
                    template if number < 2 else None,
                    (None, 0, 19, 20, 99, 100)[number],
                    harness.world.now().replace(hour=6 + number, minute=59),
                    ledger_id,
                ),
            )
    always = {"from": "2020-01-01", "to": "2100-01-01"}
    assert counts(stats(harness, **always).all)["applied"] == 6
    shown = {
        by: stats(harness, by=by, **always)
        for by in ("template", "resume", "fit", "hour", "weekday", "employer_size", "search")
    }
    assert {by: sum(by_key(found).values()) for by, found in shown.items()} == dict.fromkeys(
        shown, 6
    )
    assert by_key(shown["template"]) == {str(template): 2, None: 4}
    assert {group.key: group.label for group in shown["template"].groups} == {
        str(template): "Короткое",
        None: "without a template",
    }
    assert by_key(shown["fit"]) == {"0": 2, "20": 1, "80": 2, None: 1}
    assert by_key(shown["hour"]) == {str(9 + number): 1 for number in range(6)}  # Moscow
    in_utc = stats(harness, by="hour", time_zone="UTC", **always)
    assert by_key(in_utc) == {str(6 + number): 1 for number in range(6)}
    assert set(by_key(shown["search"])) == {None}


def test_employer_size_is_the_number_of_its_known_vacancies(harness):
    now = harness.world.now()
    harness.by_hand(count=3)
    harness.sync()
    vacancies = [row["vacancy_id"] for row in harness.rows()]
    jobs = [(vacancies[0], "1"), (vacancies[1], "2")]
    jobs += [(f"other{number}", "2") for number in range(60)]
    for external_id, employer_id in jobs:
        harness.connection.execute(
            "INSERT INTO jobs (external_id, title, employer_id, inserted_at, updated_at)"
            " VALUES (%s, 'title', %s, %s, %s)"
            " ON CONFLICT (external_id) DO UPDATE SET employer_id = excluded.employer_id",
            (external_id, employer_id, now, now),
        )
    shown = stats(harness, by="employer_size")
    assert by_key(shown) == {"1": 1, "50": 1, None: 1}
    assert [group.label for group in shown.groups] == [
        "1 vacancy", "50 and more", "employer unknown",
    ]  # fmt: skip


def test_search_has_found_told_and_applied(harness):
    """Two postings of one job count once, and an application to either is one to the job."""
    harness.by_hand()
    harness.sync()
    (applied,) = harness.rows()
    now, search, other = harness.world.now(), uuid4(), uuid4()
    query = harness.connection.execute(
        "INSERT INTO search_queries (hash, parameters, created_at) VALUES ('h', '{}', %s)"
        " RETURNING id", (now,),
    ).fetchone()["id"]  # fmt: skip
    harness.connection.execute(
        "INSERT INTO saved_searches (id, account_id, user_id, query_id, name, search,"
        " interval_seconds, time_zone, created_at, updated_at)"
        " VALUES (%s, %s, %s, %s, 'Python', '{}', 1800, 'UTC', %s, %s)",
        (search, harness.account_id, harness.user_id, query, now, now),
    )
    found = [
        ("1", "1", search, 7, None),
        ("2", "1", search, None, None),  # another posting of the first
        ("3", "3", search, None, "title_words"),  # dropped by a rule
        (applied["vacancy_id"], "4", search, None, None),
        ("4", "4", search, 8, None),
        ("5", "5", other, 9, None),  # of a search that was deleted
    ]
    for vacancy_id, original_id, search_id, seq, rule in found:
        harness.connection.execute(
            "INSERT INTO account_vacancies (account_id, vacancy_id, original_id, saved_search_id,"
            " seq, at, filtered_by) VALUES (%s, %s, %s, %s, %s, %s, %s)",
            (harness.account_id, vacancy_id, original_id, search_id, seq, now, rule),
        )
    shown = stats(harness, by="search")
    [told] = [stage for stage in shown.all.stages if stage.stage == "told"]
    [chosen] = [stage for stage in shown.all.stages if stage.stage == "applied"]
    assert (told.count, told.rate.n) == (3, 4)
    assert (chosen.count, chosen.rate.reached, chosen.rate.n) == (1, 1, 3)
    groups = {group.label: counts(group) for group in shown.groups}
    assert groups["Python"] | {"found": 3, "told": 2, "applied": 1} == groups["Python"]
    assert groups[f"{str(other)[:8]}…"]["told"] == 1


def test_other_accounts_are_not_counted(harness, quiet_world):
    harness.by_hand(count=2)
    harness.sync()
    timur = SyncHarness(quiet_world, "timur")
    timur.by_hand()
    timur.sync()
    assert counts(stats(timur).all)["applied"] == 1
    assert counts(stats(harness).all)["applied"] == 2


# ── silent ones ──────────────────────────────────────────────────────────────────────────────────


def test_silent_after_two_weeks_with_a_suggestion(harness):
    made = harness.by_hand(count=4)
    harness.sync()
    act(harness, made[0], "viewed")
    act(harness, made[1], "discard")
    harness.world.sandbox.advance(13 * DAY_S)
    assert silent_ids(harness)[0] == []
    harness.world.sandbox.advance(DAY_S)
    recent = harness.by_hand()
    harness.sync()
    vacancy = {row["negotiation_id"]: row["vacancy_id"] for row in harness.rows()}
    harness.connection.execute(
        "INSERT INTO jobs (external_id, title, company, closed_at, inserted_at, updated_at)"
        " VALUES (%(id)s, 'Повар', 'Василёк', %(now)s, %(now)s, %(now)s)"
        " ON CONFLICT (external_id) DO UPDATE SET closed_at = excluded.closed_at,"
        " title = excluded.title",
        {"id": vacancy[made[3]], "now": harness.world.now()},
    )
    jobs, page = silent_ids(harness)
    assert page.found == 3
    assert set(jobs) == {vacancy[made[number]] for number in (0, 2, 3)}
    assert vacancy[recent] not in jobs
    items = {item.job_id: item for item in page.items}
    assert items[vacancy[made[0]]].suggestion == silent.SEEN
    assert items[vacancy[made[2]]].suggestion == silent.UNSEEN
    closed = items[vacancy[made[3]]]
    assert (closed.suggestion, closed.title, closed.days) == (silent.CLOSED, "Повар", 14)
    assert closed.link == f"https://hh.ru/vacancy/{closed.job_id}"
    first, page = silent_ids(harness, per_page=2)
    rest, last = silent_ids(harness, per_page=2, cursor=page.next_cursor)
    assert (first + rest, last.next_cursor, last.found) == (jobs, None, None)
    assert harness.count_calls() > 0
    assert not [entry for entry in harness.posted() if entry["by"] == "api"]  # nothing was written


# ── CSV ──────────────────────────────────────────────────────────────────────────────────────────


def read_csv(content, separator=","):
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig")), delimiter=separator))


def test_csv_has_a_row_for_each_application(harness):
    made = harness.by_hand(count=2)
    harness.sync()
    act(harness, made[0], "invitation")
    rows = {row["negotiation_id"]: row for row in harness.rows()}
    harness.connection.execute(
        "INSERT INTO jobs (external_id, title, company, inserted_at, updated_at)"
        " VALUES (%(id)s, '=1+1', '@employer', %(now)s, %(now)s)"
        " ON CONFLICT (external_id) DO UPDATE SET title = excluded.title,"
        " company = excluded.company",
        {"id": rows[made[0]]["vacancy_id"], "now": harness.world.now()},
    )
    query = models.CsvQuery(separator="semicolon", time_zone="UTC")
    file = csv_export.export(query, harness.person, harness.context)
    assert file.content.startswith(b"\xef\xbb\xbfapplication_id;vacancy_id;title")
    assert file.headers == {}
    found = {row["application_id"]: row for row in read_csv(file.content, ";")}
    assert len(found) == 2
    invited = found[str(rows[made[0]]["id"])]
    assert (invited["title"], invited["company"]) == ("'=1+1", "'@employer")
    assert (invited["origin"], invited["state_at_hh"]) == ("by hand", "invitation")
    at = datetime.fromisoformat(invited["invited_at"]).replace(tzinfo=UTC)
    assert at == rows[made[0]]["first_invited_at"].replace(microsecond=0)
    assert found[str(rows[made[1]]["id"])]["answered_at"] == ""


def test_parts_of_csv_make_the_whole_file(harness, monkeypatch):
    harness.by_hand(count=7)
    harness.sync()
    whole = csv_export.export(models.CsvQuery(), harness.person, harness.context).content
    assert len(read_csv(whole)) == 7
    monkeypatch.setattr(csv_export, "ROWS_PER_READ", 2)
    monkeypatch.setattr(csv_export, "MAX_BYTES", 1)
    parts, values = [], {}
    while True:
        query = models.CsvQuery.model_validate(values)
        file = csv_export.export(query, harness.person, harness.context)
        parts.append(file.content)
        if "link" not in file.headers:
            break
        [address] = re.findall(r'^<(/api/stats\.csv\?.*)>; rel="next"$', file.headers["link"])
        values = dict(parse_qsl(urlsplit(address).query))
    assert len(parts) == 4
    assert b"".join(parts) == whole


# ── the function ─────────────────────────────────────────────────────────────────────────────────


def test_routes_answer_a_person_and_the_service(core):
    session, jwt = core.log_in("anna")
    shown = core.call("GET /api/stats", jwt=jwt, secret=None, query={"by": "fit"})
    assert shown.status == 200
    assert {"from", "to", "all", "groups", "min_sample"} <= set(shown.body)
    assert core.call("GET /api/stats", query={"user_id": session}).body["groups"] == []
    assert core.call("GET /api/stats/silent", query={"user_id": session}).body["items"] == []
    file = core.call("GET /api/stats.csv", query={"user_id": session, "table": "funnel"})
    assert (file.status, file.headers["content-type"]) == (200, "text/csv; charset=utf-8")
    stranger = core.call("GET /api/stats", jwt=jwt, query={"user_id": str(uuid4())})
    assert stranger.refusal == (403, "user_mismatch")


WRONG = [
    ("GET /api/stats", {"by": "employer"}, "by"),
    ("GET /api/stats", {"from": "2026-02-01", "to": "2026-01-01"}, "from"),
    ("GET /api/stats", {"from": "yesterday"}, "from"),
    ("GET /api/stats", {"time_zone": "Mars/Base"}, "time_zone"),
    ("GET /api/stats/silent", {"days": "1"}, "days"),
    ("GET /api/stats/silent", {"cursor": "x"}, "cursor"),
    ("GET /api/stats.csv", {"cursor": "x"}, "cursor"),
]


def test_wrong_query_names_its_field(core):
    session, _ = core.log_in("anna")
    for key, query, field in WRONG:
        refused = core.call(key, query={"user_id": session, **query})
        assert refused.refusal == (422, "invalid_request")
        assert [problem["field"] for problem in refused.body["details"]["fields"]] == [field]


# ── the migration ────────────────────────────────────────────────────────────────────────────────

LEDGER = """
    INSERT INTO application_ledger (id, account_id, user_id, vacancy_id, state, submitted_at,
        created_at, updated_at, hh_state, hh_viewed, hh_updated_at)
    VALUES (%(id)s, %(account)s, %(account)s, %(name)s, 'submitted', '2026-01-01Z', '2026-01-01Z',
        '2026-01-01Z', %(state)s, %(viewed)s, '2026-01-05Z')
"""
# By vacancy: hh.ru's present state, whether it was viewed, and the reasons of the history by day.
HISTORY = {
    "refused after an invitation": ("discard", True, {2: "viewed", 3: "invitation", 5: "discard"}),
    "without a history": ("invitation", True, {}),
    "viewed": ("response", True, {4: "viewed"}),
    "viewed, without a history": ("response", True, {}),
    "unseen": ("response", False, {1: "by_hand"}),
}
FIRST_DAYS = {  # seen, answered, invited, offered
    "refused after an invitation": (2, 3, 3, None),
    "without a history": (5, 5, 5, None),
    "viewed": (4, None, None, None),
    "viewed, without a history": (5, None, None, None),
    "unseen": (None, None, None, None),
}


def test_first_times_are_filled_from_what_is_known(empty_database_url):
    upgrade(empty_database_url, "0024")
    with psycopg.connect(empty_database_url, row_factory=dict_row, autocommit=True) as connection:
        account = uuid4()
        connection.execute(
            "INSERT INTO accounts (id, hh_user_id, access_changed_at, created_at)"
            " VALUES (%s, '1', '2026-01-01Z', '2026-01-01Z')",
            (account,),
        )
        for name, (state, viewed, steps) in HISTORY.items():
            ledger_id = uuid4()
            values = {"id": ledger_id, "account": account, "name": name}
            connection.execute(LEDGER, values | {"state": state, "viewed": viewed})
            for day, reason in steps.items():
                connection.execute(
                    "INSERT INTO application_history (ledger_id, at, state, reason)"
                    " VALUES (%s, %s, 'submitted', %s)",
                    (ledger_id, datetime(2026, 1, day, tzinfo=UTC), reason),
                )
        upgrade(empty_database_url, "0030")
        rows = connection.execute("SELECT * FROM application_ledger").fetchall()
        names = ("seen", "answered", "invited", "offered")
        found = {
            row["vacancy_id"]: tuple(
                None if row[f"first_{name}_at"] is None
                else row[f"first_{name}_at"].astimezone(UTC).day
                for name in names
            )
            for row in rows
        }  # fmt: skip
        assert found == FIRST_DAYS
        downgrade(empty_database_url, "0024")
        upgrade(empty_database_url, "0030")
