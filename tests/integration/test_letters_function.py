"""functions/letters: templates, preview and check, as the BFF and a person call them."""

from uuid import uuid4

import pytest

from ullgetthejob.letters.models import MAX_PER_ACCOUNT
from ullgetthejob.letters.placeholders import MEANINGS

LIST, CREATE = "GET /api/letters/templates", "POST /api/letters/templates"
REPLACE, DELETE = "PUT /api/letters/templates/{id}", "DELETE /api/letters/templates/{id}"
PREVIEW, CHECK = "POST /api/letters/preview", "POST /api/letters/check"
TEXT = (
    "Здравствуйте! Откликаюсь на вакансию «{{ vacancy.title }}» в «{{ employer }}».\n"
    "{% if skills.common %}Мне близки {{ skills.common | join(', ') }}.{% endif %}\n"
    "С уважением,\n{{ person.first_name }} {{ person.last_name }}"
)


@pytest.fixture
def anna(core, monkeypatch):
    """The options of Anna's calls, with her token alone."""
    monkeypatch.setenv("HH_ACCESS_TOKEN", core.sandbox.token())
    return {"jwt": core.log_in("anna")[1], "secret": None}


@pytest.fixture
def job_id(core):
    """A vacancy that suits Anna."""
    return core.sandbox.publish(
        "Python-разработчик", skills=["Python", "FastAPI", "Kafka"],
        requirements=["Опыт разработки"], duties=["Писать сервисы"],
        employer={"id": "77001", "name": "Полярная почта"},
    )["id"]  # fmt: skip


def create(core, anna, name="Короткое", text=TEXT):
    return core.call(CREATE, body={"name": name, "text": text}, **anna)


def stored(core):
    return core.rows("SELECT id::text, name, text FROM letter_templates ORDER BY name")


def test_templates_are_created_changed_and_deleted(core, anna):
    assert core.call(LIST, **anna).body == {
        "success": True, "items": [], "placeholders": MEANINGS,
    }  # fmt: skip
    created = create(core, anna)
    assert created.status == 201
    template_id = created.body["id"]
    assert [item["id"] for item in core.call(LIST, **anna).body["items"]] == [template_id]
    changed = core.call(REPLACE, id=template_id, body={"name": "Новое", "text": "Да"}, **anna)
    assert (changed.status, changed.body["name"], changed.body["text"]) == (200, "Новое", "Да")
    assert changed.body["created_at"] == created.body["created_at"]
    assert core.call(DELETE, id=template_id, **anna).body == {"success": True}
    assert core.call(DELETE, id=template_id, **anna).refusal == (
        404, "template_not_found",
    )  # fmt: skip
    actions = [action for _, action, _ in core.audited()]
    assert [action for action in actions if action.startswith("letter")] == [
        f"letter_template.{act}" for act in ("create", "change", "delete")
    ]


def test_repeated_creation_is_the_first_template(core, anna):
    first, again = create(core, anna), create(core, anna)
    assert (first.status, again.status) == (201, 200)
    assert first.body["id"] == again.body["id"]
    other = create(core, anna, text="Другое")
    assert other.refusal == (409, "same_template")
    assert other.body["details"] == {"id": first.body["id"]}
    assert len(stored(core)) == 1


def test_name_of_another_template_is_refused(core, anna):
    create(core, anna, "Первое")
    second = create(core, anna, "Второе").body["id"]
    taken = core.call(REPLACE, id=second, body={"name": "Первое", "text": TEXT}, **anna)
    assert taken.refusal == (409, "same_template")
    same = core.call(REPLACE, id=second, body={"name": "Второе", "text": "Да"}, **anna)
    assert same.status == 200


def test_number_of_templates_is_bounded(core, anna):
    create(core, anna, "0")
    core.rows(
        "INSERT INTO letter_templates (account_id, name, text, created_at, updated_at)"
        " SELECT account_id, 'n' || n, text, created_at, updated_at"
        " FROM letter_templates, generate_series(2, %s) AS n",
        MAX_PER_ACCOUNT,
    )
    assert create(core, anna, "one more").refusal == (409, "too_many_templates")
    assert create(core, anna, "0").status == 200


@pytest.mark.parametrize(
    "text",
    ["", "{{ ''.__class__ }}", "{{ 10**10**10 }}", "{{ vacancy.titel }}", "x" * 20_001,
     "{% for i in range(9) %}x{% endfor %}", "{{ lipsum() }}"],
)  # fmt: skip
def test_template_that_does_not_work_is_not_stored(core, anna, text):
    refused = create(core, anna, text=text)
    assert refused.refusal == (422, "template_invalid")
    assert refused.body["details"]["fields"][0]["field"] == "text"
    assert "template" in refused.body["advice"]
    assert stored(core) == []


@pytest.mark.parametrize(
    "body",
    [{"name": "", "text": "a"}, {"name": "a\nb", "text": "a"}, {"name": "a" * 101, "text": "a"},
     {"text": "a"}, {"name": "a"}, {"name": "a", "text": "a" * 100_001},
     {"name": "a", "text": "a", "more": 1}],
)  # fmt: skip
def test_wrong_body_is_refused(core, anna, body):
    assert core.call(CREATE, body=body, **anna).refusal == (422, "invalid_request")


def test_body_of_a_megabyte_is_refused(core, anna):
    assert create(core, anna, text="x" * 1_000_000).refusal == (413, "payload_too_large")


def test_templates_belong_to_the_account(core, anna, job_id):
    template_id = create(core, anna).body["id"]
    timur = {"jwt": core.log_in("timur")[1], "secret": None}
    assert core.call(LIST, **timur).body["items"] == []
    body = {"name": "Чужое", "text": "Да"}
    missing = (404, "template_not_found")
    assert core.call(REPLACE, id=template_id, body=body, **timur).refusal == missing
    assert core.call(DELETE, id=template_id, **timur).refusal == missing
    preview = {"template_id": template_id, "job_id": job_id}
    assert core.call(PREVIEW, body=preview, **timur).refusal == missing
    for wrong in ("x", "1", str(uuid4())):
        assert core.call(DELETE, id=wrong, **anna).refusal == missing
    assert [row["text"] for row in stored(core)] == [TEXT]


def test_preview_is_the_letter_with_its_findings(core, anna, job_id):
    template_id = create(core, anna).body["id"]
    resume_id = core.sandbox.resumes("anna")["Python-разработчик"]
    body = {"template_id": template_id, "job_id": job_id, "resume_id": resume_id}
    reply = core.call(PREVIEW, body=body, **anna)
    assert reply.status == 200, reply
    assert reply.body["letter"] == (
        "Здравствуйте! Откликаюсь на вакансию «Python-разработчик» в «Полярная почта».\n"
        "Мне близки Python, FastAPI.\nС уважением,\nАнна Веснина"
    )
    assert reply.body["findings"] == []
    assert reply.body["resume_id"] == resume_id
    del body["template_id"]
    body["text"] = "Знаю {{ skills.missing | join }} и [название]."
    found = core.call(PREVIEW, body=body, **anna).body["findings"]
    assert {finding["rule"] for finding in found} == {"placeholder", "skill", "length"}


def test_preview_has_the_named_resume(core, anna, job_id):
    other = core.sandbox.resumes("anna")["Backend-инженер"]
    body = {"text": "{{ resume.title }}", "job_id": job_id, "resume_id": other}
    reply = core.call(PREVIEW, body=body, **anna).body
    assert (reply["letter"], reply["resume_id"]) == ("Backend-инженер", other)


def test_preview_without_a_value_names_it(core, anna, job_id):
    body = {"text": "{{ skills.missing | limit(0) | join }}", "job_id": job_id}
    assert core.call(PREVIEW, body=body, **anna).refusal == (422, "template_value_missing")


@pytest.mark.parametrize("more", [{}, {"text": "a", "template_id": str(uuid4())}])
def test_preview_takes_one_text(core, anna, more):
    refused = core.call(PREVIEW, body={"job_id": "1", **more}, **anna)
    assert refused.refusal == (422, "invalid_request")


def test_check_finds_what_resume_and_vacancy_do_not_say(core, anna, job_id):
    letter = (
        "Здравствуйте! Десять лет пишу на Python и Rust, мечтаю о команде «Ромашка». "
        "Пишите на other@example.net. {{ employer }}"
    )
    reply = core.call(CHECK, body={"letter": letter, "job_id": job_id}, **anna)
    assert reply.status == 200, reply
    found = {(finding["rule"], finding["text"]) for finding in reply.body["findings"]}
    assert found >= {
        ("placeholder", "{{ employer }}"), ("skill", "Rust"), ("employer", "Ромашка"),
        ("contact", "other@example.net"),
    }  # fmt: skip
    good = "Здравствуйте! Пишу сервисы на Python и FastAPI, буду рада обсудить вашу вакансию."
    resume_id = core.sandbox.resumes("anna")["Python-разработчик"]
    body = {"letter": good, "job_id": job_id, "resume_id": resume_id}
    assert core.call(CHECK, body=body, **anna).body["findings"] == []


def test_check_of_an_unknown_job_is_not_found(core, anna):
    body = {"letter": "Здравствуйте!", "job_id": "1"}
    assert core.call(CHECK, body=body, **anna).refusal == (404, "job_not_found")


def test_service_names_the_person(core, anna, job_id):
    session, _ = core.log_in("anna")
    create(core, anna)
    assert len(core.call(LIST, query={"user_id": session}).body["items"]) == 1
    body = {"letter": "Здравствуйте!", "job_id": job_id, "user_id": session}
    assert core.call(CHECK, body=body).status == 200


def test_templates_are_deleted_with_the_account(core, anna):
    create(core, anna)
    core.rows("UPDATE users SET account_id = NULL")
    assert core.call(LIST, **anna).body["items"] == []
    assert create(core, anna).status == 409
