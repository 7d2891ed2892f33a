"""Autopilots through the functions: ``apply`` of a saved search, and the pause of an account."""

from uuid import uuid4

import pytest

CREATE, CHANGE = "POST /api/schedules", "PATCH /api/schedules/{id}"
LIST, READ = "GET /api/schedules", "GET /api/schedules/{id}"
NIGHT = {"from": "22:00", "to": "06:00"}
COUNTS = {
    "found": 0,
    "in_review": 0,
    "waiting": 0,
    "sent_today": 0,
    "sent_in_24h": 0,
    "next_send_at": None,
}
DEFAULTS = {
    "mode": "off",
    "letter_template_id": None,
    "hh_resume_id": None,
    "max_per_day": 20,
    "bucket_share": 50,
    "working_hours": None,
    "time_zone": None,
    "min_fit": 50,
    "workflow_id": None,
    "is_paused": False,
    "counts": COUNTS,
}


@pytest.fixture
def anna(core, monkeypatch):
    monkeypatch.setenv("HH_ACCESS_TOKEN", core.sandbox.token())
    return core.log_in("anna")


@pytest.fixture
def call(core, anna):
    """Call a route as Anna."""

    def call(key, id=None, **options):
        return core.call(key, id=id, jwt=anna[1], secret=None, **options)

    return call


def act(core, anna, command, body=None):
    key = f"POST /api/accounts/{{user_id}}/{command}"
    options = {} if body is None else {"body": body}
    return core.call(key, parameters={"user_id": anna[0]}, jwt=anna[1], **options)


def account_id(core):
    return core.rows("SELECT id FROM accounts")[0]["id"]


def insert_template(core, owner):
    template_id = str(uuid4())
    core.rows(
        "INSERT INTO letter_templates VALUES (%s, %s, 'Короткое', 'Здравствуйте!', now(), now())"
        " RETURNING id",
        *(template_id, owner),
    )
    return template_id


def test_settings_are_shown_changed_by_field_and_listed(core, call):
    template_id = insert_template(core, account_id(core))
    plain = call(CREATE, body={"search": {"text": "python"}}).body
    assert plain["apply"] == DEFAULTS
    wanted = {"mode": "review", "letter_template_id": template_id, "working_hours": NIGHT}
    saved = call(CREATE, body={"search": {"text": "java"}, "apply": wanted}).body
    night = {**NIGHT, "days": None}
    assert saved["apply"] == {**DEFAULTS, **wanted, "working_hours": night}
    changed = call(CHANGE, saved["id"], body={"apply": {"mode": "auto", "max_per_day": 3}}).body
    expected = {**saved["apply"], "mode": "auto", "max_per_day": 3}
    assert changed["apply"] == call(READ, saved["id"]).body["apply"] == expected
    renamed = call(CHANGE, saved["id"], body={"name": "Другое"}).body
    assert renamed["apply"] == expected
    without = {"apply": {"letter_template_id": None, "working_hours": None}}
    removed = call(CHANGE, saved["id"], body=without).body["apply"]
    assert (removed["letter_template_id"], removed["working_hours"]) == (None, None)
    listed = {item["id"]: item["apply"] for item in call(LIST).body["items"]}
    assert listed == {plain["id"]: DEFAULTS, saved["id"]: removed}


def test_template_of_another_account_changes_nothing(core, call):
    other = uuid4()
    core.rows(
        "INSERT INTO accounts (id, hh_user_id, access_changed_at, created_at)"
        " VALUES (%s, '7', now(), now()) RETURNING id",
        other,
    )
    apply = {"mode": "auto", "letter_template_id": insert_template(core, other)}
    refused = call(CREATE, body={"search": {"text": "python"}, "apply": apply})
    assert refused.refusal == (404, "template_not_found")
    assert call(LIST).body["items"] == []
    saved = call(CREATE, body={"search": {"text": "python"}}).body
    assert call(CHANGE, saved["id"], body={"name": "Другое", "apply": apply}).status == 404
    assert call(READ, saved["id"]).body["name"] == saved["name"]


@pytest.mark.parametrize(
    "field",
    [
        {"mode": "always"},
        {"max_per_day": 0},
        {"max_per_day": 201},
        {"max_per_day": None},
        {"bucket_share": 0},
        {"bucket_share": 101},
        {"min_fit": 101},
        {"hh_resume_id": "../me"},
        {"letter_template_id": "x"},
        {"time_zone": "Moscow"},
        {"working_hours": {"from": "9", "to": "18:00"}},
        {"unknown": 1},
    ],
)
def test_invalid_setting_is_refused_by_name(call, field):
    refused = call(CREATE, body={"search": {"text": "python"}, "apply": {"mode": "auto", **field}})
    assert refused.status == 422
    assert f"apply.{next(iter(field))}" in refused.text


def test_changed_filters_apply_from_their_first_vacancy_on(core, call):
    saved = call(CREATE, body={"search": {"text": "python"}}).body
    core.rows("UPDATE search_queries SET last_match = 70 RETURNING id")
    call(CHANGE, saved["id"], body={"apply": {"mode": "auto"}})
    since = "SELECT since_match FROM autopilots"
    assert core.rows(since) == [{"since_match": 70}]
    call(CHANGE, saved["id"], body={"apply": {"max_per_day": 5}})
    assert core.rows(since) == [{"since_match": 70}]
    call(CHANGE, saved["id"], body={"search": {"text": "java"}})
    assert core.rows(since) == [{"since_match": 0}]


def test_pause_and_resume_are_shown_and_repeatable(core, anna, call):
    saved = call(CREATE, body={"search": {"text": "python"}, "apply": {"mode": "auto"}}).body
    first, second = act(core, anna, "pause"), act(core, anna, "pause", {"all": True})
    assert (first.status, second.status) == (200, 200)
    assert first.body == second.body
    assert core.account(anna[0])["autopilot_paused_at"] == first.body["paused_at"]
    assert call(READ, saved["id"]).body["apply"]["is_paused"] is True
    for _ in range(2):
        assert act(core, anna, "resume").body["autopilot_paused_at"] is None
    assert call(READ, saved["id"]).body["apply"]["is_paused"] is False
    audited = "SELECT action FROM audit_log WHERE action LIKE 'account.%%' ORDER BY id"
    actions = [row["action"] for row in core.rows(audited)]
    assert actions == ["account.pause", "account.pause", "account.resume"]


def test_resume_after_captcha_keeps_the_pause_unless_named(core, anna):
    act(core, anna, "pause")
    core.rows("UPDATE accounts SET access_state = 'captcha' RETURNING id")
    solved = act(core, anna, "resume").body
    assert solved["access"]["state"] == "ok"
    assert solved["autopilot_paused_at"] is not None
    core.rows("UPDATE accounts SET access_state = 'captcha' RETURNING id")
    both = act(core, anna, "resume", {"autopilot": True}).body
    assert (both["access"]["state"], both["autopilot_paused_at"]) == ("ok", None)


def test_pause_of_a_user_who_never_connected_is_refused(core):
    session = str(uuid4())
    refused = core.call("POST /api/accounts/{user_id}/pause", parameters={"user_id": session})
    assert refused.status in (404, 409), refused
