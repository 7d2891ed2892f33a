"""Requests whose process is killed after each of their effects, and which the BFF then repeats:
afterwards every table has the rows of one whole request, and no application is made twice."""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from uuid import uuid4

import pytest
from psycopg import sql

from tests.harness.applying import publish, receive_wake_ups
from tests.harness.function_process import CONTEXT, FUNCTIONS
from tests.harness.killing import http_request
from tests.harness.notifying import ENVIRONMENT
from ullgetthejob.platform import clock

SELECT_TABLES = (
    "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
)


def keyed(function, key, body, **parameters):
    """Return a request with an ``Idempotency-Key`` of its own."""
    headers = {"idempotency-key": str(uuid4())}
    return http_request(function, key, body, headers=headers, **parameters)


def submit(harness):
    body = {
        "user_id": str(harness.user_id),
        "job_external_id": publish(harness),
        "cover_letter": "Здравствуйте!",
    }
    return keyed("submit", "POST /api/applications/submit", body)


def act_on_application(act, state, harness):
    """Return a request about an application in *state*."""
    accepted = harness.submit(publish(harness))
    harness.connection.execute(
        "UPDATE application_ledger SET state = %s, reason = 'no_resume', due_at = NULL"
        " WHERE id = %s",
        [state, accepted.application_id],
    )
    key = f"POST /api/applications/{{id}}/{act}"
    body = {"user_id": str(harness.user_id)}
    return http_request("applications", key, body, id=str(accepted.application_id))


def act_on_account(act, harness):
    """Return a request after which the account is paused, or no more."""
    user_id = str(harness.user_id)
    before, wanted = (
        http_request("accounts", f"POST /api/accounts/{{user_id}}/{name}", {}, user_id=user_id)
        for name in ({"pause": "resume", "resume": "pause"}[act], act)
    )
    call_here(before)
    return wanted


def call_here(wake_up):
    """Return the body of the answer to a request, which is handled in this process."""
    name, _, event = wake_up.partition(" ")
    answer = FUNCTIONS[name].handler(json.loads(event), CONTEXT)
    assert answer["statusCode"] < 500, answer
    return json.loads(answer["body"])


def save_search(harness):
    body = {"user_id": str(harness.user_id), "search": {"text": uuid4().hex}}
    return keyed("schedules", "POST /api/schedules", body)


def delete_search(harness):
    saved = call_here(save_search(harness))
    key, body = "DELETE /api/schedules/{id}", {"user_id": str(harness.user_id)}
    return http_request("schedules", key, body, id=saved["id"])


def import_job(harness):
    links = [f"https://hh.ru/vacancy/{publish(harness)}"]
    body = {"user_id": str(harness.user_id), "links": links, "apply": {}}
    return keyed("search", "POST /api/jobs/import", body)


def replace_filters(harness):
    rules = {"title_words": [uuid4().hex]}
    body = {"user_id": str(harness.user_id), "rules": rules}
    return http_request("filters", "PUT /api/filters", body)


def add_template(harness):
    body = {"user_id": str(harness.user_id), "name": uuid4().hex, "text": "Здравствуйте!"}
    return keyed("letters", "POST /api/letters/templates", body)


def add_channel(harness):
    body = {
        "user_id": str(harness.user_id),
        "kind": "email",
        "address": f"{uuid4().hex}@example.com",
    }
    return http_request("notifications", "POST /api/notifications/channels", body)


def replace_settings(harness):
    body = {"user_id": str(harness.user_id), "language": "en"}
    return http_request("notifications", "PUT /api/notifications", body)


def replace_weights(harness):
    body = {"user_id": str(harness.user_id), "weights": {"title": 1}}
    return http_request("resumes", "PUT /api/fit/weights", body)


def link_to_handoff(harness):
    user_id = str(harness.user_id)
    key = "POST /api/accounts/{user_id}/handoff-link"
    return http_request("handoff", key, {"user_id": user_id}, user_id=user_id)


REQUESTS = {
    "submit": submit,
    "confirm": partial(act_on_application, "confirm", "handoff"),
    "cancel": partial(act_on_application, "cancel", "handoff"),
    "retry": partial(act_on_application, "retry", "handoff"),
    "pause": partial(act_on_account, "pause"),
    "resume": partial(act_on_account, "resume"),
    "search": save_search,
    "no search": delete_search,
    "import": import_job,
    "filters": replace_filters,
    "template": add_template,
    "channel": add_channel,
    "settings": replace_settings,
    "weights": replace_weights,
    "link": link_to_handoff,
}


def count_rows(harness):
    """Return the number of rows of each table."""
    tables = [row["relname"] for row in harness.connection.execute(SELECT_TABLES)]
    counts = sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT {name} AS name, count(*) AS n FROM {table}").format(
            name=sql.Literal(table), table=sql.Identifier(table)
        )
        for table in tables
    )
    return Counter({row["name"]: row["n"] for row in harness.connection.execute(counts)})


@pytest.fixture(autouse=True)
def _environment(connected, monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    clock.install(connected.now)
    yield
    clock.install(None)


@pytest.mark.parametrize("name", REQUESTS)
def test_request_killed_after_any_effect_is_made_once(harness, functions, mail_server, name):
    requests, counts = [], []

    def make_another():
        requests.append(REQUESTS[name](harness))
        counts.append(count_rows(harness))
        return requests[-1]

    def added():
        return count_rows(harness) - counts[-1]

    wholes = []
    for repetitions in (1, 1, 2):  # the first time adds rows; of what is logged, each time does
        call_here(make_another())
        for _ in range(1, repetitions):
            call_here(requests[-1])
        wholes.append(added())
    effects = []
    for effect in functions.kill_after_each(make_another):
        effects.append(effect)
        call_here(requests[-1])
        assert added() in wholes, effects
    assert effects


def test_submissions_killed_after_any_effect_apply_once(harness, functions):
    """The wake-up is lost with the process."""
    effects = list(functions.kill_after_each(lambda: submit(harness)))
    receive_wake_ups()
    assert harness.sweep().notified == 1
    harness.run()
    accepted = [entry["vacancy_id"] for entry in harness.posted(outcome="accepted")]
    assert len(accepted) == len(set(accepted)) == len(effects) + 1


def test_submissions_at_once_apply_once(harness, functions):
    wake_up = submit(harness)
    functions.call(*[wake_up] * 3)
    harness.run()
    assert [entry["outcome"] for entry in harness.posted()] == ["accepted"]
