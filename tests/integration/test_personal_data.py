"""A person's data after real use of everything: exported whole, deleted whole, on the sandbox."""

from __future__ import annotations

import base64
import importlib
import io
import json
import zipfile
from types import SimpleNamespace
from uuid import uuid4

import pytest

from functions.applier import app as applier
from functions.fetch_worker import app as fetch_worker
from functions.sweeper import app as sweeper
from local.sandbox.people import people
from tests.fixtures.core import LIFE_S
from tests.fixtures.leaks import Markers, phone_spellings
from tests.harness.killing import http_request, sqs_message
from ullgetthejob.hh.client import HHClient
from ullgetthejob.personal_data import deletion, deletion_request, export, tables
from ullgetthejob.personal_data.tables import TABLES, WITHOUT_PEOPLE
from ullgetthejob.platform import aws, leases, queues

CONTEXT = SimpleNamespace(aws_request_id="aws-request-id", function_name="f")
LETTER = "Письмо, которого больше нет"
SEARCH_TEXT = "python and a word of mine"
CV = "Резюме из файла, целиком"
EXPORT, DELETE = "GET /api/accounts/{user_id}/export", "DELETE /api/accounts/{user_id}"
# After everything was used, these have nothing of Anna: the original alone fills hh_tokens.
EMPTY = {"hh_tokens"}


class World:
    """Core's functions, a person who uses them all, and another who must keep everything."""

    def __init__(self, core, room, monkeypatch):
        self.core, self.room, self.monkeypatch = core, room, monkeypatch
        self.sandbox = core.sandbox
        self.sandbox.employers_act(False)
        monkeypatch.setenv("HH_ACCESS_TOKEN", self.sandbox.token())
        monkeypatch.setenv("WEBHOOK_ADDRESSES", "any")
        monkeypatch.setenv("PUBLIC_URL", "https://core.example.com")

    def post(self, path, body):
        reply = self.core.call(f"POST {path}", body=body)
        assert reply.status in (200, 201, 202), reply
        return reply.body

    def wake(self, module, **payload):
        record = {"messageId": "1", "body": json.dumps(payload)}
        assert module.handler({"Records": [record]}, CONTEXT) == {"batchItemFailures": []}

    def use_everything(self, person):
        """Use every part of Core as *person*; return the user's id, JWT and the account's id."""
        first, _ = self.core.log_in(person)
        user_id, jwt = self.core.log_in(person, bound=True)
        account_id = str(self.core.account(user_id)["account_id"])
        for number in range(2):
            vacancy = str(self.sandbox.publish(f"Программист {person} {number}")["id"])
            body = {"user_id": user_id, "job_external_id": vacancy, "cover_letter": LETTER}
            body |= {"review": "always"} if number else {}
            self.core.call("POST /api/applications/submit", body=body)
        self.wake(applier, account_id=account_id)
        self.core.call("GET /api/applications", query={"user_id": user_id})
        self.write_to_employer(user_id, account_id)
        rules = {"user_id": user_id, "rules": {"title_words": ["продажи"]}}
        assert self.core.call("PUT /api/filters", body=rules).status == 200
        search = {"user_id": user_id, "search": {"text": "Программист"}, "name": SEARCH_TEXT}
        saved = self.post("/api/schedules", search)
        own = {"user_id": user_id, "search": {"text": SEARCH_TEXT}, "apply": {"mode": "review"}}
        unused = self.post("/api/schedules", own)
        importlib.import_module("functions.fetcher.app").handler({"resources": ["x/y"]}, CONTEXT)
        for search in (saved, unused):
            [query] = self.core.rows(
                "SELECT query_id FROM saved_searches WHERE id = %s", search["id"]
            )
            self.wake(fetch_worker, query_id=str(query["query_id"]))
        self.use_letters_and_fit(user_id)
        self.use_raises(user_id, person)
        self.use_notifications(user_id)
        self.add_rows_of_the_bff(user_id, person)
        flow = self.post("/api/queue/add", {"userId": user_id, "jobs": [{"job_external_id": "1"}]})
        self.post("/api/queue/start-workflow", {
            "workflowId": flow["workflowId"], "userId": user_id,
        })  # fmt: skip
        self.room.open_connection(user_id)
        return user_id, jwt, account_id, first

    def write_to_employer(self, user_id, account_id):
        [sent] = self.core.rows(
            "SELECT id FROM application_ledger WHERE account_id = %s AND state = 'submitted'",
            account_id,
        )
        body = {"user_id": user_id, "text": LETTER}
        replied = self.core.call(
            "POST /api/applications/{id}/messages",
            parameters={"id": str(sent["id"])},
            body=body,
        )
        assert replied.status == 202, replied.body
        self.sandbox.advance(2)  # until hh.ru has opened the conversation
        self.wake(applier, account_id=account_id)

    def use_letters_and_fit(self, user_id):
        template = {"user_id": user_id, "name": "short", "text": LETTER}
        made = self.core.call("POST /api/letters/templates", body=template)
        assert made.status in (200, 201), made.body
        weights = {"user_id": user_id, "weights": {"skills": 30}}
        assert self.core.call("PUT /api/fit/weights", body=weights).status == 200

    def use_raises(self, user_id, person):
        resume_id = next(iter(self.sandbox.resumes(person).values()))
        body = {"user_id": user_id, "schedule": {"mode": "every_four_hours"}}
        route = "PUT /api/hh/resumes/{id}/raise-schedule"
        own = {"parameters": {"id": resume_id}, "body": body}
        assert self.core.call(route, **own).status == 200

    def use_notifications(self, user_id):
        preferences = {"user_id": user_id, "time_zone": "Europe/Moscow"}
        assert self.core.call("PUT /api/notifications", body=preferences).status == 200
        channel = {"user_id": user_id, "kind": "webhook", "url": "http://localhost:1/me"}
        made = self.post("/api/notifications/channels", channel)
        test = "POST /api/notifications/channels/{id}/test"
        own = {"parameters": {"id": made["id"]}, "body": {"user_id": user_id}}
        assert self.core.call(test, **own).status == 202

    def use_a_little(self, person):
        """Connect *person*, with an application, a saved search and a socket, without hh.ru's and
        the workers' part; return the user's id and the account's."""
        user_id, _ = self.core.log_in(person)
        account_id, now = str(self.core.account(user_id)["account_id"]), self.core.now()
        self.core.rows(
            "WITH query AS (INSERT INTO search_queries (hash, parameters, created_at)"
            " VALUES (%s, '{}', %s) ON CONFLICT (hash) DO UPDATE SET parameters = '{}'"
            " RETURNING id)"
            " INSERT INTO saved_searches (account_id, user_id, query_id, name, search,"
            " interval_seconds, time_zone, created_at, updated_at)"
            " SELECT %s, %s, id, %s, '{}', 900, 'UTC', %s, %s FROM query",
            *(b"same", now, account_id, user_id, SEARCH_TEXT, now, now),
        )
        self.core.rows(
            "WITH shown AS (INSERT INTO applications (user_id, job_external_id, cover_letter,"
            " inserted_at, updated_at) VALUES (%s, '1', %s, %s, %s) RETURNING id),"
            " kept AS (INSERT INTO application_ledger (account_id, user_id, vacancy_id,"
            " application_id, state, letter, created_at, updated_at)"
            " SELECT %s, %s, '1', id, 'submitted', %s, %s, %s FROM shown RETURNING id)"
            " INSERT INTO application_attempts (ledger_id, account_id, number, at)"
            " SELECT id, %s, 1, %s FROM kept",
            *(user_id, LETTER, now, now, account_id, user_id, LETTER, now, now, account_id, now),
        )
        self.room.append_event(account_id)
        self.room.open_connection(user_id)
        return user_id, account_id

    def add_rows_of_the_bff(self, user_id, person):
        hh = people.find(person)
        now = self.core.now().replace(tzinfo=None)
        self.core.rows(
            "INSERT INTO parsed_cvs (user_id, first_name, email, phone, full_text, created_at,"
            " updated_at) VALUES (%s, %s, %s, %s, %s, %s, %s)",
            *(user_id, hh.first_name, hh.email, hh.phone, CV, now, now),
        )
        cv_id = uuid4()
        self.core.rows(
            "INSERT INTO cvs (id, user_id, name, file_path, created_at, updated_at)"
            " VALUES (%s, %s, %s, 'cv.pdf', %s, %s)",
            *(cv_id, user_id, hh.last_name, now, now),
        )
        self.core.rows(
            "INSERT INTO custom_cvs (cv_id, cover_letter, created_at, updated_at)"
            " VALUES (%s, %s, %s, %s)",
            *(cv_id, LETTER, now, now),
        )

    def export(self, user_id, cursor=None, **options):
        """Return the manifest and the lines of each file of an export."""
        query = {"cursor": cursor} if cursor else {}
        parameters = {"user_id": user_id}
        reply = self.core.call(EXPORT, parameters=parameters, query=query, **options)
        assert reply.status == 200, reply
        assert reply.headers["content-type"] == "application/zip"
        return unpack(reply.text)

    def delete(self, user_id, **options):
        return self.core.call(DELETE, parameters={"user_id": user_id}, **options)

    def finish(self, account_id):
        """Let applier and broadcaster work until the account is gone."""
        for _ in range(10):
            self.wake(applier, account_id=account_id)
            if not self.core.rows("SELECT FROM accounts WHERE id = %s", account_id):
                return
            self.room.broadcast(account_id)
            self.core.rows("UPDATE accounts SET deletion_due_at = %s", self.core.now())
        raise AssertionError("the account is still there")

    def found(self, *texts):
        """Return the tables, DynamoDB tables and queues that hold one of *texts*."""
        places = set()
        for row in self.core.rows(
            "SELECT relname FROM pg_class WHERE relkind = 'r'"
            " AND relnamespace = 'public'::regnamespace"
        ):
            name = row["relname"]
            content = self.core.rows(f"SELECT string_agg(t::text, ' ') AS all FROM {name} t")
            if any(text in (content[0]["all"] or "") for text in texts):
                places.add(name)
        for table in ("BucketTable", "LeaseTable", "ConnectionTable", "OneTimeTable", "PacerTable"):
            content = json.dumps(aws.call("dynamodb", "Scan", {"TableName": table})["Items"])
            if any(text in content for text in texts):
                places.add(table)
        return places


def unpack(body):
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(body))) as archive:
        assert archive.testzip() is None
        files = {name: archive.read(name).decode() for name in archive.namelist()}
    manifest = json.loads(files.pop("manifest.json"))
    lines = {
        name.removesuffix(".jsonl"): [json.loads(line) for line in text.splitlines()]
        for name, text in files.items()
    }
    assert {name: len(of) for name, of in lines.items()} == manifest["lines"]
    return manifest, lines


@pytest.fixture
def world(core, room, monkeypatch):
    return World(core, room, monkeypatch)


# ── what lies where ──────────────────────────────────────────────────────────────────────────────

PERSONAL = ("user_id", "account_id", "session_id", "hh_user_id", "email", "phone", "first_name",
            "last_name", "password_hash", "letter", "cover_letter", "ip_address")  # fmt: skip
SELECT_COLUMNS = """
    SELECT c.relname AS table, array_agg(a.attname::text) AS columns,
           (SELECT array_agg(DISTINCT f.confrelid::regclass::text) FROM pg_constraint f
            WHERE f.contype = 'f' AND f.conrelid = c.oid) AS refers_to
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
        AND NOT a.attisdropped
    WHERE c.relkind IN ('r', 'p', 'm') AND c.relnamespace = 'public'::regnamespace
    GROUP BY c.oid, c.relname
"""


def test_every_table_is_known_to_export_and_deletion(core):
    rows = core.rows(SELECT_COLUMNS)
    known = {table.name for table in TABLES}
    assert {row["table"] for row in rows} == known | set(WITHOUT_PEOPLE)
    assert not known & set(WITHOUT_PEOPLE)
    by_name = {row["table"]: row for row in rows}
    for name in WITHOUT_PEOPLE:
        assert not set(PERSONAL) & set(by_name[name]["columns"]), name
        refers = set(by_name[name]["refers_to"] or ()) - {"search_queries"}
        assert not refers & known, name
    for table in TABLES:
        secret = {
            column
            for column in by_name[table.name]["columns"]
            if column in ("pair", "password_hash") or column.endswith(("_token", "_hash", "secret"))
        }
        if table.name == "notification_channels":  # encrypted, or a digest of it
            secret |= {"address", "address_digest"}
        assert secret == set(table.withheld), table.name


def test_tables_of_a_person_are_read_by_an_index_or_short(core):
    """Nothing is found by reading a table that grows with all people."""
    values = {"account_id": uuid4(), "user_ids": [uuid4()], "withheld": []}
    core.rows("SELECT 1")
    import psycopg  # the plan of each, without sequential scans where an index serves

    with psycopg.connect(core.database_url) as connection:
        connection.execute("SET enable_seqscan = off")
        for table in TABLES:
            statement = tables.SELECT_ROWS.format(
                table=table.name, where=table.where, key=table.key or "NULL"
            )
            plan = "\n".join(
                line for (line,) in connection.execute(f"EXPLAIN {statement}", values).fetchall()
            )
            if table.name not in ("hh_logins",):  # of the last month alone
                assert f"Seq Scan on {table.name}" not in plan, plan


# ── export, delete, export ───────────────────────────────────────────────────────────────────────


def test_export_is_complete_and_empty_after_the_deletion(world, capsys):
    timurs, _, timurs_account, _ = world.use_everything("timur")
    annas, jwt, account_id, other_session = world.use_everything("anna")
    ids = (annas, account_id, other_session)
    markers = Markers()
    hh = people.find("anna")
    markers.add("an e-mail", hh.email)
    markers.add("a phone", *phone_spellings(hh.phone))
    markers.add("a letter", LETTER)
    markers.add("a CV", CV)
    markers.add("a search", SEARCH_TEXT)
    manifest, lines = world.export(annas, jwt=jwt, secret=None)
    assert manifest["next"] is None
    expected = {table.name for table in TABLES} - EMPTY
    assert {name for name, of in lines.items() if of} - {"websocket_connections", "token_buckets"} \
        == expected  # fmt: skip
    for table in TABLES:  # as many lines as there are rows that hold an id of hers, no other's
        text = json.dumps(lines[table.name])
        assert timurs not in text, table.name
        assert timurs_account not in text, table.name
    assert len(lines["users"]) == 2
    assert len(lines["application_ledger"]) == 3  # two by themselves, one of a campaign
    assert {row["letter"] for row in lines["application_ledger"]} == {LETTER, None}
    assert {row["full_text"] for row in lines["parsed_cvs"]} == {CV}
    assert lines["websocket_connections"][0]["user_id"] == annas
    assert [row["owner"] for row in lines["token_buckets"]] == [account_id]
    places = world.found(*ids)
    assert places - {table.name for table in TABLES} == {
        "BucketTable", "LeaseTable", "ConnectionTable", "OneTimeTable",
    }  # fmt: skip
    whole = json.dumps([manifest, lines])
    for row in world.core.rows("SELECT access_token, refresh_token FROM account_tokens"):
        assert row["access_token"] not in whole
        assert row["refresh_token"] not in whole
    assert world.core.live_pairs() == 2

    assert world.delete(annas, jwt=jwt, secret=None).status == 202
    _, lines = world.export(annas)
    assert all(of == [] for of in lines.values())
    assert world.core.call(EXPORT, parameters={"user_id": annas}, jwt=jwt).status == 401
    world.finish(account_id)
    assert world.core.live_pairs() == 0
    assert len(world.room.management.closed) == 1
    # Tickets and states lie under their hashes, for a day, and name ids that lead nowhere.
    assert world.found(*ids, LETTER.encode("unicode_escape").decode(), hh.id) == {"OneTimeTable"}
    _, lines = world.export(annas)
    assert all(of == [] for of in lines.values())
    rest = world.core.rows("SELECT * FROM saved_searches")
    assert len(rest) == 2  # Timur's
    assert world.core.rows("SELECT count(*) AS n FROM search_queries")[0]["n"] == 2
    _, lines = world.export(timurs)
    assert {name for name, of in lines.items() if of} >= expected
    logged = capsys.readouterr()
    assert markers.found_in(logged.out + logged.err) == {}
    assert world.core.rows("SELECT FROM audit_log WHERE action = 'account.delete'") != []


def test_export_of_many_rows_comes_in_parts_without_gap(world, monkeypatch):
    user_id, _ = world.core.log_in("anna")
    account_id = world.core.account(user_id)["account_id"]
    world.core.rows(
        "INSERT INTO events (account_id, seq, at, type, data)"
        " SELECT %s, n, now(), 'jobs.new', jsonb_build_object('n', md5(n::text),"
        " 'm', md5((n + 1)::text)) FROM generate_series(1, 2500) n",
        account_id,
    )
    monkeypatch.setattr(export, "MAX_ARCHIVE_BYTES", 20_000)
    monkeypatch.setattr(export, "ROWS_PER_READ", 500)
    cursor, seen, parts = None, [], 0
    while parts == 0 or cursor:
        manifest, lines = world.export(user_id, cursor)
        cursor, parts = manifest["next"], parts + 1
        seen += [row["seq"] for row in lines.get("events", [])]
    assert parts >= 3
    assert seen == list(range(1, 2501))


@pytest.mark.parametrize(
    "cursor", ["x", "bnVsbA==", base64.urlsafe_b64encode(b'["events", "x"]').decode(),
               base64.urlsafe_b64encode(b'["users", "x"]').decode(),
               base64.urlsafe_b64encode(b'["pg_authid", null]').decode()]
)  # fmt: skip
def test_cursor_that_was_made_up_is_refused(world, cursor):
    user_id, _ = world.core.log_in("anna")
    reply = world.core.call(EXPORT, parameters={"user_id": user_id}, query={"cursor": cursor})
    assert reply.refusal == (422, "invalid_request")


def test_session_without_account_is_exported_and_deleted(world):
    user_id = str(world.room.user(None))
    world.add_rows_of_the_bff(user_id, "anna")
    _, lines = world.export(user_id)
    assert len(lines["parsed_cvs"]) == len(lines["custom_cvs"]) == len(lines["users"]) == 1
    assert world.delete(user_id).status == 202
    assert world.found(user_id) == set()


# ── the deletion goes on by itself ───────────────────────────────────────────────────────────────


def test_deletion_is_answered_the_same_when_repeated(world):
    user_id, _ = world.core.log_in("anna")
    first = world.delete(user_id)
    assert (first.status, first.body["status"]) == (202, "deleting")
    assert world.delete(user_id).text == first.text
    assert world.delete(str(uuid4())).text == first.text


STEPS = [
    (deletion._Deletion, "_delete_rows"),
    (HHClient, "revoke"),
    (deletion._Deletion, "_delete_account"),
    (leases, "delete"),
]


@pytest.mark.parametrize(("owner", "name"), STEPS, ids=[name for _, name in STEPS])
def test_worker_that_ends_after_any_step_is_followed_by_another(world, monkeypatch, owner, name):
    user_id, account_id = world.use_a_little("anna")
    assert world.delete(user_id).status == 202
    world.room.broadcast(account_id)  # the sockets, so that one run would do
    original = getattr(owner, name)

    def end(*arguments, **named):
        original(*arguments, **named)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, end)
        with pytest.raises(KeyboardInterrupt):
            world.wake(applier, account_id=account_id)
    world.core.rows("UPDATE accounts SET deletion_due_at = %s", world.core.now())
    world.finish(account_id)
    assert world.found(user_id, account_id) <= {"OneTimeTable", "LeaseTable"}
    assert world.core.live_pairs() == 0


def test_deletion_killed_after_any_effect_goes_on(world, functions):
    """The request, which its person repeats, and the worker: each process goes on where the one
    before was killed."""
    user_id, account_id = world.use_a_little("anna")
    kept_id, kept_account_id = world.use_a_little("timur")
    deletion_of_anna = http_request("accounts", DELETE, user_id=user_id)
    for effect in functions.kill_after_each(lambda: deletion_of_anna):
        assert effect
    wake_up, effects = sqs_message("applier", account_id=account_id), []
    for effect in functions.kill_after_each(lambda: wake_up):
        effects.append(effect)
        world.sandbox.advance(deletion.LEASE_S + 1)
        world.core.rows(
            "UPDATE accounts SET deletion_due_at = %s WHERE id = %s", world.core.now(), account_id
        )
    assert any("DELETE FROM saved_searches" in effect for effect in effects)
    world.finish(account_id)
    assert world.found(user_id, account_id) <= {"OneTimeTable", "LeaseTable"}
    assert world.core.live_pairs() == 0
    assert {"accounts", "users", "saved_searches", "events"} <= world.found(
        kept_id, kept_account_id
    )


def test_sweeper_wakes_a_deletion_whose_message_was_lost(world, monkeypatch):
    user_id, _ = world.core.log_in("anna")
    account_id = world.core.account(user_id)["account_id"]
    with monkeypatch.context() as patch:
        patch.setattr(deletion_request, "notify", lambda *_, **__: None)
        assert world.delete(user_id).status == 202
    woken = []
    monkeypatch.setattr(
        queues, "notify_accounts", lambda queue, ids: woken.extend((queue, str(id_)) for id_ in ids)
    )
    assert sweeper.handler({"resources": ["x/y"]}, CONTEXT)["deletions_notified"] == 1
    assert (deletion_request.QUEUE, account_id) in woken


def test_nothing_is_sent_after_the_request(world):
    """An application that was accepted before is not sent, also when the deletion has to wait."""
    user_id, _ = world.core.log_in("anna")
    account_id = world.core.account(user_id)["account_id"]
    vacancy = str(world.sandbox.publish("Программист")["id"])
    body = {"user_id": user_id, "job_external_id": vacancy, "cover_letter": LETTER}
    assert world.core.call("POST /api/applications/submit", body=body).status == 202
    assert world.delete(user_id).status == 202
    from ullgetthejob import bootstrap
    from ullgetthejob.applications import submitter
    from ullgetthejob.platform.authentication import Caller

    with bootstrap.open_context_with_hh(Caller("core", "x")) as context:
        submitter.run(account_id, context)  # a worker that was in the middle of its run
    world.finish(account_id)
    assert world.sandbox.applications(person="anna") == []


def test_tokens_are_revoked_later_while_hh_ru_is_down(world):
    user_id, account_id = world.use_a_little("anna")
    world.sandbox.fault("server_error", path="/token")
    assert world.delete(user_id).status == 202
    world.room.broadcast(account_id)
    world.wake(applier, account_id=account_id)
    [row] = world.core.rows("SELECT hh_user_id, deletion_due_at FROM accounts")
    assert row["hh_user_id"] == f"deleted {account_id}"
    assert row["deletion_due_at"] > world.core.now()
    held = world.found(user_id, account_id)
    assert not {"application_ledger", "events", "saved_searches", "users"} & held
    world.sandbox.control("DELETE", "/faults")
    world.sandbox.advance(400)
    world.core.end_pause()
    world.wake(applier, account_id=account_id)
    assert world.core.live_pairs() == 0
    assert world.found(user_id, account_id) <= {"OneTimeTable"}


def test_irrevocable_pair_is_deleted_after_three_days(world):
    user_id, _ = world.core.log_in("anna")
    account_id = world.core.account(user_id)["account_id"]
    world.core.rows("UPDATE account_tokens SET access_token = 'AAAA', refresh_token = 'AAAA'")
    assert world.delete(user_id).status == 202
    world.wake(applier, account_id=account_id)
    assert len(world.core.rows("SELECT FROM account_tokens")) == 1
    world.sandbox.advance(3 * 86_400 + 1)
    world.wake(applier, account_id=account_id)
    assert world.core.rows("SELECT FROM accounts") == []


def test_expired_pair_is_renewed_to_be_revoked(world):
    user_id, _ = world.core.log_in("anna")
    account_id = world.core.account(user_id)["account_id"]
    world.sandbox.advance(LIFE_S + 1)
    assert world.delete(user_id).status == 202
    world.finish(account_id)
    assert world.core.live_pairs() == 0


def test_pair_of_an_interrupted_login_is_revoked(world):
    user_id, _ = world.core.log_in("anna")
    account_id = world.core.account(user_id)["account_id"]
    code = world.core.code()
    world.sandbox.fault("server_error", path="/me")
    assert world.core.callback(code, user_id).status == 503
    world.sandbox.control("DELETE", "/faults")
    assert world.delete(user_id).status == 202
    world.wake(applier, account_id=account_id)
    assert len(world.core.rows("SELECT FROM accounts")) == 1  # the login may be in progress
    world.sandbox.advance(61)
    world.finish(account_id)
    assert world.core.live_pairs() == 0
    assert world.found(user_id, account_id) <= {"OneTimeTable"}


# ── afterwards ───────────────────────────────────────────────────────────────────────────────────


def test_person_who_comes_back_is_new_and_applies_no_sooner(world):
    user_id, account_id = world.use_a_little("anna")
    world.delete(user_id)
    again, jwt = world.core.log_in("anna", user_id)  # before the deletion is finished
    world.finish(account_id)
    account = world.core.account(again)
    assert account["account_id"] != account_id
    assert account["connected"] is True
    assert account["access"]["state"] == "limited_until"
    assert world.core.call("GET /api/hh/resumes", jwt=jwt, secret=None).status == 200
    assert world.core.call("DELETE /api/hh/connection", jwt=jwt, secret=None).status == 200
    again, _ = world.core.log_in("anna")
    assert world.core.account(again)["access"]["state"] == "limited_until"
    world.sandbox.advance(86_400)
    assert world.core.account(again)["access"]["state"] == "ok"
    assert sweeper.handler({"resources": ["x/y"]}, CONTEXT)["deleted_forgotten"] == 1
    assert world.core.rows("SELECT FROM deleted_accounts") == []


def test_account_that_applied_nowhere_leaves_nothing(world):
    user_id, _ = world.core.log_in("anna")
    account_id = world.core.account(user_id)["account_id"]
    world.delete(user_id)
    world.finish(account_id)
    assert world.core.rows("SELECT FROM deleted_accounts") == []
    again, _ = world.core.log_in("anna")
    assert world.core.account(again)["access"]["state"] == "ok"


def test_rows_of_another_account_survive_in_its_former_session(world):
    """A session moved from Timur to Anna, and the transfer of Timur's rows was interrupted."""
    timurs, _ = world.use_a_little("timur")
    annas, _ = world.core.log_in("anna")
    world.core.rows("UPDATE applications SET user_id = %s", annas)
    assert world.export(annas)[1]["applications"] == []
    assert len(world.export(timurs)[1]["applications"]) == 1
    world.delete(annas)
    [row] = world.core.rows("SELECT user_id FROM applications")
    assert str(row["user_id"]) == timurs


def test_search_that_another_person_saved_too_stays(world):
    annas, account_id = world.use_a_little("anna")
    world.use_a_little("timur")
    shared = world.core.rows("SELECT id FROM search_queries")
    world.delete(annas)
    world.finish(account_id)
    assert world.core.rows("SELECT id FROM search_queries") == shared


def test_search_of_a_run_in_progress_waits_for_its_end(world):
    user_id, account_id = world.use_a_little("anna")
    world.core.rows(
        "INSERT INTO fetch_runs (query_id, state, trigger, is_full, plan, started_at)"
        " SELECT query_id, 'running', 'schedule', true, '{}', now() FROM saved_searches LIMIT 1"
        " ON CONFLICT DO NOTHING"
    )
    world.delete(user_id)
    world.room.broadcast(account_id)
    world.wake(applier, account_id=account_id)
    assert len(world.core.rows("SELECT FROM saved_searches")) == 1
    world.core.rows("UPDATE fetch_runs SET state = 'failed'")
    world.core.rows("UPDATE accounts SET deletion_due_at = %s", world.core.now())
    world.finish(account_id)
    assert world.core.rows("SELECT FROM search_queries") == []
