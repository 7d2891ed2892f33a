"""functions/schedules: saved searches as the BFF and a person create, change and delete them."""

import json
import threading
from datetime import datetime, timedelta, timezone
from uuid import UUID, uuid4

import pytest

from local.settings import REPOSITORY
from tests.harness.context import make_context
from ullgetthejob.accounts import people
from ullgetthejob.hh import environment
from ullgetthejob.platform import clock, postgres
from ullgetthejob.platform.authentication import Caller
from ullgetthejob.platform.errors import AppError
from ullgetthejob.saved_searches import commands, models

CREATE, LIST = "POST /api/schedules", "GET /api/schedules"
READ, CHANGE = "GET /api/schedules/{id}", "PATCH /api/schedules/{id}"
DELETE, FETCH = "DELETE /api/schedules/{id}", "POST /api/schedules/{id}/fetch"
PYTHON = {"text": "python", "area": ["2", "1"]}
NIGHT = {"from": "22:00", "to": "06:00"}
MOSCOW = timezone(timedelta(hours=3))


@pytest.fixture
def noon(core):
    """Tomorrow's noon in Moscow, at which the clock stands still."""
    tomorrow = core.now().astimezone(MOSCOW) + timedelta(days=1)
    moment = tomorrow.replace(hour=12, minute=0, second=0, microsecond=0)
    clock.install(lambda: moment)
    return moment


@pytest.fixture
def anna(core, monkeypatch):
    """A client with Anna's token."""
    monkeypatch.setenv("HH_ACCESS_TOKEN", core.sandbox.token())
    return UserClient(core, *core.log_in("anna"))


class UserClient:
    """The client of a user, who calls with a token alone."""

    def __init__(self, core, user_id, jwt):
        self.core, self.user_id, self.jwt = core, user_id, jwt

    def request(self, key, id=None, **options):
        return self.core.call(key, id=id, jwt=self.jwt, secret=None, **options)

    def save(self, search=PYTHON, **fields):
        reply = self.request(CREATE, body={"search": search, **fields})
        assert reply.status in (200, 201), reply
        return reply.body

    def change(self, search_id, **fields):
        reply = self.request(CHANGE, search_id, body=fields)
        assert reply.status == 200, reply
        return reply.body

    def read(self, search_id):
        reply = self.request(READ, search_id)
        assert reply.status == 200, reply
        return reply.body

    def items(self):
        return self.request(LIST).body["items"]


def parse_time(text):
    return None if text is None else datetime.fromisoformat(text)


def due(core, search):
    """Return when the query of a saved search is due."""
    [row] = core.rows(
        "SELECT q.due_at FROM search_queries q JOIN saved_searches s ON s.query_id = q.id"
        " WHERE s.id = %s",
        search["id"],
    )
    return row["due_at"]


# ── created, read, changed, deleted ──────────────────────────────────────────────────────────────


def test_saved_search_is_created_read_changed_and_deleted(core, anna, noon):
    created = anna.request(CREATE, body={"search": PYTHON})
    assert created.status == 201
    expected = {
        "name": "python",
        "search": {"area": ["1", "2"], "text": "python"},
        "interval_seconds": 1800,
        "paused": False,
        "working_hours": None,
        "time_zone": "Europe/Moscow",
        "last_run": None,
        "filtered": 0,
        "success": True,
    }
    saved = created.body
    assert {name: saved[name] for name in expected} == expected
    assert (
        parse_time(saved["next_run_at"])
        == due(core, saved)
        == parse_time(saved["created_at"])
        == noon
    )
    assert anna.read(saved["id"]) == saved
    listed = anna.request(LIST).body
    assert listed["success"] is True
    assert [{**search, "success": True} for search in listed["items"]] == [saved]

    changed = anna.change(saved["id"], name=" Питон ", interval_seconds=3600)
    assert changed == {**saved, "name": "Питон", "interval_seconds": 3600}
    assert anna.read(saved["id"]) == changed

    assert anna.request(DELETE, saved["id"]).body == {"success": True}
    assert anna.request(READ, saved["id"]).refusal == (404, "not_found")
    assert anna.request(DELETE, saved["id"]).refusal == (404, "not_found")
    assert anna.items() == []
    assert core.rows("SELECT due_at FROM search_queries") == [{"due_at": None}]
    assert core.audited()[-3:] == [
        ("user", "saved_search.create", "ok"),
        ("user", "saved_search.change", "ok"),
        ("user", "saved_search.delete", "ok"),
    ]


def test_equal_filters_in_any_form_are_saved_once(core, anna):
    first = anna.request(CREATE, body={"search": PYTHON, "name": "Первый"})
    address = "https://hh.ru/search/vacancy?text=python&area=1&area=2&hhtmFrom=main&page=3"
    for search in (
        {"text": "python", "area": ["1", "2"]},
        {"text": "python", "area": ["1", "2", "1"], "page": 2, "per_page": 20},
        {"text": "python", "area": ["1", "2"], "order_by": "salary_desc"},
        address,
        {"url": address},
    ):
        again = anna.request(CREATE, body={"search": search, "name": "Второй", "paused": True})
        assert (again.status, again.body) == (200, first.body), search
    assert len(anna.items()) == len(core.rows("SELECT FROM search_queries")) == 1
    assert [act for _, act, _ in core.audited()].count("saved_search.create") == 1


def test_pasted_address_becomes_a_search(anna):
    saved = anna.save(
        "https://spb.hh.ru/search/vacancy?text=&salary=200000&currency_code=RUR&area=2"
        "&professional_role=96&only_with_salary=true&search_period=3&ored_clusters=true"
    )
    assert saved["search"] == {
        "area": ["2"],
        "currency": "RUR",
        "only_with_salary": True,
        "period": 3,
        "professional_role": ["96"],
        "salary": 200_000,
    }
    assert saved["name"] == "Санкт-Петербург, Программист, разработчик"
    changed = anna.change(
        saved["id"], search={"url": "https://hh.ru/search/vacancy?text=go&area=1"}
    )
    assert changed["search"] == {"area": ["1"], "text": "go"}
    assert changed["name"] == "go", "a name made of the filters follows them"


def test_default_name_is_made_of_words_or_filters(anna):
    assert anna.save({"text": "  a \n b "})["name"] == "a b"
    assert anna.save({})["name"] == "Все вакансии"
    assert anna.save({"salary": 100_000})["name"] == "Без слов, с фильтрами"
    assert anna.save({"text": "x" * 2000})["name"] == "x" * 199 + "…"
    assert anna.save({"work_format": "REMOTE"}, name="Моё")["name"] == "Моё"


def test_saved_search_is_accessible_only_to_its_account(core, anna):
    saved = anna.save()
    again = UserClient(core, *core.log_in("anna"))
    timur = UserClient(core, *core.log_in("timur"))
    assert again.read(saved["id"]) == saved
    named = core.call(READ, id=saved["id"], query={"user_id": again.user_id})
    assert named.body == saved
    assert again.change(saved["id"], paused=True)["paused"] is True
    before = core.rows("SELECT * FROM saved_searches")
    for key, body in ((READ, None), (CHANGE, {"name": "x"}), (DELETE, None), (FETCH, None)):
        for text in (saved["id"], saved["id"].upper(), str(uuid4()), "1", "", "null", "%"):
            assert timur.request(key, text, body=body).refusal == (404, "not_found"), (key, text)
        assert timur.request(key, "\0", body=body).refusal == (422, "invalid_request"), key
        for options in ({"jwt": timur.jwt}, {"jwt": timur.jwt, "secret": None}):
            query = {"user_id": anna.user_id}
            refused = core.call(key, id=saved["id"], body=body, query=query, **options)
            assert refused.refusal == (403, "user_mismatch")
    assert timur.items() == []
    assert core.rows("SELECT * FROM saved_searches") == before
    mine = timur.request(CREATE, body={"search": PYTHON})
    assert mine.status == 201
    assert mine.body["id"] != saved["id"]
    assert len(core.rows("SELECT FROM search_queries")) == 1, "hh.ru is called once for both"


def test_user_without_an_account_cannot_save_searches(core, anna):
    saved = anna.save()
    core.rows("UPDATE users SET account_id = NULL")
    assert anna.request(CREATE, body={"search": {}}).refusal == (409, "reauth_required")
    assert anna.items() == []
    for key in (READ, DELETE, FETCH):
        assert anna.request(key, saved["id"]).refusal == (404, "not_found")
    assert anna.request(CHANGE, saved["id"], body={}).refusal == (404, "not_found")


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────


INVALID_BODIES = [
    ({}, "search"),
    ({"search": None}, "search"),
    ({"search": ["python"]}, "search"),
    ({"search": 1}, "search"),
    ({"search": {"words": "python"}}, "search.words"),
    ({"search": {"area": ["1", "x"]}}, "search.area[1]"),
    ({"search": {"area": "x"}}, "search.area"),
    ({"search": {"text": "a\0"}}, "search.text"),
    ({"search": {"text": "a" * 2001}}, "search.text"),
    ({"search": {"period": 3, "date_from": "2026-01-01"}}, "search"),
    ({"search": "python"}, "search"),
    ({"search": "https://hh.ru/vacancy/1"}, "search"),
    ({"search": "https://hh.ru/search/vacancy?text=a&resume=1"}, "search"),
    ({"search": {"url": "https://hh.ru/search/vacancy?salary=x"}}, "search"),
    ({"search": {"url": 1}}, "search"),
    ({"search": {"url": None}}, "search"),
    ({"search": {"url": "https://hh.ru/search/vacancy", "text": "a"}}, "search"),
    ({"search": {}, "interval_seconds": 299}, "interval_seconds"),
    ({"search": {}, "interval_seconds": 604_801}, "interval_seconds"),
    ({"search": {}, "interval_seconds": "often"}, "interval_seconds"),
    ({"search": {}, "name": ""}, "name"),
    ({"search": {}, "name": "  "}, "name"),
    ({"search": {}, "name": "x" * 201}, "name"),
    ({"search": {}, "name": "a\0b"}, "name"),
    ({"search": {}, "name": "a\nb"}, "name"),
    ({"search": {}, "paused": "maybe"}, "paused"),
    ({"search": {}, "time_zone": "Moscow"}, "time_zone"),
    ({"search": {}, "time_zone": "../etc/passwd"}, "time_zone"),
    ({"search": {}, "working_hours": {"from": "9", "to": "20:00"}}, "working_hours.from"),
    ({"search": {}, "working_hours": {"from": "09:00"}}, "working_hours.to"),
    (
        {"search": {}, "working_hours": {**NIGHT, "days": [1, 8]}},
        "working_hours.days[1]",
    ),
    ({"search": {}, "more": 1}, "more"),
    # codes that only hh.ru knows
    ({"search": {"area": ["1", "999999"]}}, "area"),
    ({"search": {"experience": "centuries"}}, "experience"),
    ({"search": "https://hh.ru/search/vacancy?work_format=MARS"}, "work_format"),
]


def test_invalid_field_is_named_and_nothing_is_stored(anna):
    saved = anna.save()
    for body, field in INVALID_BODIES:
        for key, search_id in ((CREATE, None), (CHANGE, saved["id"])):
            if key is CHANGE and body.get("search") is None:
                continue  # a change may leave it out
            reply = anna.request(key, search_id, body=body)
            assert reply.status == 422, (key, body, reply)
            assert [item["field"] for item in reply.body["details"]["fields"]] == [field], body
    assert [{**search, "success": True} for search in anna.items()] == [saved]


def test_hh_ru_is_needed_only_for_unknown_codes(core, anna):
    saved = anna.save()
    core.sandbox.advance(3600)
    core.sandbox.fault("service_unavailable")
    changed = anna.change(saved["id"], search={"area": "2"})
    assert changed["search"] == {"area": ["2"]}
    assert anna.request(CREATE, body={"search": {"text": "go", "area": "1"}}).status == 201
    refused = anna.request(CREATE, body={"search": {"text": "go", "experience": "noExperience"}})
    assert refused.refusal == (503, "hh_unavailable")
    assert int(refused.headers["retry-after"]) > 0
    assert len(anna.items()) == 2


def test_account_has_at_most_fifty_searches(core, anna):
    first = anna.save({"text": "0"})
    row = core.rows("SELECT * FROM saved_searches")[0]
    core.rows(
        "WITH created AS (INSERT INTO search_queries (hash, parameters, created_at)"
        " SELECT decode(md5(n::text), 'hex'), '{}', %s FROM generate_series(1, 49) n"
        " RETURNING id)"
        " INSERT INTO saved_searches (account_id, user_id, query_id, name, search,"
        " interval_seconds, time_zone, created_at, updated_at)"
        " SELECT %s, %s, id, 'x', '{}', 1800, 'UTC', %s, %s FROM created",
        *(row["created_at"], row["account_id"], row["user_id"]),
        *(row["created_at"], row["created_at"]),
    )
    assert len(anna.items()) == 50
    assert anna.request(CREATE, body={"search": {"text": "one"}}).refusal == (
        409,
        "too_many_searches",
    )
    assert anna.request(CREATE, body={"search": {"text": "0"}}).status == 200
    assert anna.request(DELETE, first["id"]).status == 200
    assert anna.request(CREATE, body={"search": {"text": "one"}}).status == 201


def test_concurrent_requests_never_exceed_the_limit(core, anna, monkeypatch):
    monkeypatch.setattr(commands, "MAX_PER_ACCOUNT", 5)
    person, outcomes = people.find_by_id(UUID(anna.user_id)), []
    caller = Caller("user", "request-of-a-test", person.user_id)

    def save(number):
        body = models.CreateBody.model_validate({"search": {"text": str(number % 8)}})
        with postgres.connection_class().connect(
            core.database_url, autocommit=True, row_factory=postgres.connection().row_factory
        ) as connection:
            context = make_context(connection, core.now, caller=caller, hh=environment.client())
            try:
                saved, is_new = commands.create_search(body, person, context)
            except AppError as error:
                outcomes.append(error.code)
            else:
                outcomes.append((saved.name, is_new))

    threads = [threading.Thread(target=save, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(outcomes) == 24
    created = [answer for answer in outcomes if answer != "too_many_searches" and answer[1]]
    assert len(created) == len(set(created)) == 5
    assert len(anna.items()) == 5


# ── schedule ─────────────────────────────────────────────────────────────────────────────────────


def test_new_search_is_due_at_once_or_when_its_hours_open(core, anna, noon):
    nightly = anna.save({"text": "ночь"}, working_hours=NIGHT)
    assert nightly["working_hours"] == {**NIGHT, "days": None}
    assert parse_time(nightly["next_run_at"]) == due(core, nightly) == noon + timedelta(hours=10)
    abroad = anna.save({"text": "там"}, working_hours=NIGHT, time_zone="Asia/Kamchatka")
    assert parse_time(abroad["next_run_at"]) == noon + timedelta(hours=1)
    fourth = {"from": "09:00", "to": "18:00", "days": [(noon + timedelta(days=4)).isoweekday()]}
    weekly = anna.save({"text": "дом"}, working_hours=fourth)
    assert parse_time(weekly["next_run_at"]) == noon + timedelta(days=3, hours=21)
    paused = anna.save({"text": "пауза"}, paused=True)
    assert (paused["next_run_at"], due(core, paused)) == (None, None)
    assert anna.read(weekly["id"]) == weekly


def test_pause_begins_and_ends(core, anna, noon):
    saved = anna.save()
    paused = anna.change(saved["id"], paused=True)
    assert (paused["paused"], paused["next_run_at"], due(core, saved)) == (True, None, None)
    still = anna.change(saved["id"], interval_seconds=300)
    assert (still["paused"], still["next_run_at"]) == (True, None)
    resumed = anna.change(saved["id"], paused=False)
    assert parse_time(resumed["next_run_at"]) == due(core, saved) == noon


def test_changed_interval_counts_from_now_and_never_delays(core, anna, noon):
    saved = anna.save(interval_seconds=604_800)
    later = noon + timedelta(days=6)
    core.rows("UPDATE saved_searches SET next_run_at = %s", later)
    assert parse_time(anna.change(saved["id"], name="x")["next_run_at"]) == later
    sooner = parse_time(anna.change(saved["id"], interval_seconds=3600)["next_run_at"])
    assert noon + timedelta(minutes=50) <= sooner <= noon + timedelta(minutes=59)
    assert due(core, saved) == sooner
    kept = anna.change(saved["id"], interval_seconds=86_400)
    assert parse_time(kept["next_run_at"]) == sooner


def test_changed_hours_move_the_next_run_into_them(core, anna, noon):
    saved = anna.save(interval_seconds=3600)
    for fields, hours in (
        ({"working_hours": NIGHT}, 10),
        ({"time_zone": "Asia/Kamchatka"}, 1),
        ({"working_hours": {"from": "23:00", "to": "23:30"}}, 2),
    ):
        changed = anna.change(saved["id"], **fields)
        assert (
            parse_time(changed["next_run_at"]) == due(core, saved) == noon + timedelta(hours=hours)
        )
    free = anna.change(saved["id"], working_hours=None)
    assert free["working_hours"] is None
    assert parse_time(free["next_run_at"]) <= noon + timedelta(hours=1)


def test_null_changes_only_the_hours(anna, noon):
    saved = anna.save(working_hours=NIGHT, name="Моё")
    nothing = dict.fromkeys(("name", "search", "interval_seconds", "paused", "time_zone"))
    assert anna.change(saved["id"], **nothing) == saved
    assert anna.change(saved["id"]) == saved


def test_query_is_due_with_the_first_of_its_searches(core, anna, noon):
    timur = UserClient(core, *core.log_in("timur"))
    annas, timurs = anna.save(), timur.save(working_hours=NIGHT)
    assert due(core, annas) == due(core, timurs) == noon
    anna.change(annas["id"], paused=True)
    assert due(core, timurs) == parse_time(timurs["next_run_at"]) == noon + timedelta(hours=10)
    anna.change(annas["id"], paused=False)
    assert due(core, timurs) == noon
    anna.request(DELETE, annas["id"])
    assert due(core, timurs) == noon + timedelta(hours=10)
    timur.request(DELETE, timurs["id"])
    assert core.rows("SELECT due_at FROM search_queries") == [{"due_at": None}]


def test_other_filters_move_the_search_to_an_unnotified_query(core, anna, noon):
    saved = anna.save(working_hours=NIGHT)
    core.rows("UPDATE saved_searches SET told_match = 7, next_run_at = %s", noon)
    same = anna.change(saved["id"], search={**PYTHON, "order_by": "relevance"})
    assert same["search"] == saved["search"]
    row = core.rows("SELECT told_match, query_id FROM saved_searches")[0]
    assert row["told_match"] == 7
    changed = anna.change(saved["id"], search={"text": "go"}, name="Го", working_hours=None)
    assert (changed["id"], changed["search"], changed["name"]) == (
        saved["id"],
        {"text": "go"},
        "Го",
    )
    now = core.rows("SELECT told_match, query_id, run_id FROM saved_searches")[0]
    assert (now["told_match"], now["run_id"]) == (0, None)
    assert due(core, changed) == parse_time(changed["next_run_at"]) == noon
    left = core.rows("SELECT due_at FROM search_queries WHERE id = %s", row["query_id"])
    assert left == [{"due_at": None}]


def test_change_to_filters_of_another_search_is_refused(core, anna):
    python, go = anna.save(), anna.save({"text": "go"})
    reply = anna.request(CHANGE, go["id"], body={"search": PYTHON, "name": "x"})
    assert reply.refusal == (409, "same_search")
    assert reply.body["details"] == {"id": python["id"]}
    assert anna.read(go["id"]) == go
    assert anna.change(python["id"], search=PYTHON)["search"] == python["search"]


# ── requested runs ───────────────────────────────────────────────────────────────────────────────


def test_paused_search_runs_on_request(core, anna):
    core.sandbox.publish("Зоотехник птицефабрики", area="1")
    saved = anna.save({"text": "зоотехник птицефабрики", "area": "1"}, paused=True)
    reply = anna.request(FETCH, saved["id"])
    assert reply.status == 200, reply
    run = reply.body["run"]
    assert reply.body["success"] is True
    assert (run["state"], run["trigger"], run["reason"]) == ("completed", "request", None)
    assert run["found"] == run["fetched"] == run["new"] > 0
    shown = anna.read(saved["id"])
    assert shown["last_run"] == run
    assert shown["next_run_at"] is None
    assert anna.items()[0]["last_run"] == run


# ── sample events ────────────────────────────────────────────────────────────────────────────────


def test_sample_events_are_accepted(core, anna):
    statuses = []
    for name in ("schedules-create", "schedules", *map("schedules-{}".format, (
        "detail", "change", "fetch", "delete",
    ))):  # fmt: skip
        sample = (REPOSITORY / "events" / f"{name}.json").read_text()
        sample = sample.replace("00000000-0000-4000-8000-000000000001", anna.user_id)
        saved = anna.items()
        if saved:
            sample = sample.replace("22222222-2222-4222-8222-222222222222", saved[0]["id"])
        statuses.append(core.invoke(json.loads(sample)).status)
    assert statuses == [201, 200, 200, 200, 200, 200]
