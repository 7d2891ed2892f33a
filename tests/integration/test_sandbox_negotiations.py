"""Negotiations in the sandbox: lists, employers' actions, messages, and pages for employers."""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from local.sandbox.negotiations.refusals import REFUSALS
from tests.fixtures.hh_sandbox import run_sandbox

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fixtures.hh_sandbox import HhSandbox

DAY_S = 86_400
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+0300")
# Keys of hh.ru's own specification (the snapshot of 2025) and of clients of 2026.
ITEM = {
    "id", "state", "created_at", "updated_at", "resume", "viewed_by_opponent", "has_updates",
    "messages_url", "url", "counters", "chat_states", "source", "chat_id", "messaging_status",
    "decline_allowed", "read", "has_new_messages", "applicant_question_state", "hidden", "vacancy",
    "tags", "phone_calls", "job_search_status",
}  # fmt: skip
VACANCY = {
    "id", "premium", "name", "department", "has_test", "response_letter_required", "area", "salary",
    "salary_range", "type", "address", "response_url", "sort_point_distance", "published_at",
    "created_at", "archived", "apply_alternate_url", "show_contacts", "show_logo_in_search",
    "insider_interview", "url", "alternate_url", "employer", "professional_roles",
}  # fmt: skip
MESSAGE = {
    "id", "text", "state", "author", "created_at", "viewed_by_me", "viewed_by_opponent", "read",
    "editable", "address",
}  # fmt: skip


class Applicant:
    """A logged-in person, who applies with their first resume."""

    def __init__(self, sandbox: HhSandbox, key: str = "anna") -> None:
        self.sandbox = sandbox
        self.token = sandbox.log_in(key)["access_token"]
        self.resumes = list(sandbox.resumes(key).values())

    def apply(self, vacancy_id: str, message: str | None = None) -> str:
        answer = self.sandbox.apply(self.token, vacancy_id, self.resumes[0], message)
        assert answer.status_code == 201, answer.text
        return answer.headers["Location"].rsplit("/", 1)[1]

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.sandbox.call(method, path, self.token, **options)

    def get(self, path: str, **params: Any) -> Any:
        return self.call("GET", path, params=params).raise_for_status().json()

    def ids(self, **params: Any) -> list[str]:
        return [item["id"] for item in self.get("/negotiations", **params)["items"]]

    def write(self, id_: str, text: str = "Когда собеседование?") -> httpx.Response:
        return self.call("POST", f"/negotiations/{id_}/messages", data={"message": text})


@pytest.fixture
def anna(hh_sandbox: HhSandbox) -> Applicant:
    """Return an applicant; employers do nothing of their own accord, and the clock is stopped."""
    hh_sandbox.employers_act(False)
    hh_sandbox.control("POST", "/clock", {"rate": 0})
    return Applicant(hh_sandbox)


@pytest.fixture
def applied(anna: Applicant) -> str:
    """Return the id of an application that Anna sent two seconds ago."""
    id_ = anna.apply(anna.sandbox.publish("Программист")["id"], "Здравствуйте!")
    anna.sandbox.advance(2)
    return id_


def value(answer: httpx.Response) -> tuple[int, str | None]:
    error = answer.json()["errors"][0]
    return answer.status_code, error.get("value", error["type"])


# ── reading ─────────────────────────────────────────────────────────────────────────────────────


def test_item_has_hh_keys(anna: Applicant, applied: str) -> None:
    body = anna.get("/negotiations")
    assert {name: body[name] for name in ("found", "pages", "page", "per_page")} == {
        "found": 1, "pages": 1, "page": 0, "per_page": 20,
    }  # fmt: skip
    (item,) = body["items"]
    assert anna.get(f"/negotiations/{applied}") == item
    assert set(item) == ITEM
    assert set(item["vacancy"]) == VACANCY
    assert (item["id"], item["state"]) == (applied, {"id": "response", "name": "Отклик"})
    assert isinstance(item["chat_id"], int)
    assert item["counters"] == {"messages": 1, "unread_messages": 0}
    assert item["url"] == f"https://api.hh.ru/negotiations/{applied}"
    assert (item["messaging_status"], item["source"]) == ("ok", "NEGOTIATION")
    resume = item["resume"]
    assert (resume["id"], resume["title"]) == (anna.resumes[0], "Backend-инженер")
    assert item["created_at"] == item["updated_at"]
    assert all(DATE.fullmatch(text) for text in (item["created_at"], resume["updated_at"]))
    for flag in ("viewed_by_opponent", "has_updates", "has_new_messages", "hidden"):
        assert item[flag] is False
    assert item["read"] is True


def test_pages_are_sorted_by_last_update(anna: Applicant) -> None:
    ids = []
    for _ in range(5):
        ids.append(anna.apply(anna.sandbox.publish("Программист")["id"]))
        anna.sandbox.advance(60)
    assert anna.ids() == ids[::-1]
    anna.sandbox.employer_does(ids[1], "message", "Добрый день!")
    wanted = [ids[1], ids[4], ids[3], ids[2], ids[0]]
    assert anna.ids() == wanted
    pages = [anna.get("/negotiations", page=page, per_page=2) for page in range(4)]
    assert [[item["id"] for item in page["items"]] for page in pages] == [
        wanted[:2], wanted[2:4], wanted[4:], [],
    ]  # fmt: skip
    assert {(page["found"], page["pages"], page["per_page"]) for page in pages} == {(5, 3, 2)}
    vacancy_id = anna.get(f"/negotiations/{ids[2]}")["vacancy"]["id"]
    assert anna.ids(vacancy_id=vacancy_id) == [ids[2]]
    assert anna.ids(vacancy_id="1") == []
    assert anna.ids(has_updates="true") == [ids[1]]
    assert anna.ids(has_updates="false") == wanted[1:]
    assert anna.ids(order="asc", surprise="1") == wanted  # unknown parameters are ignored


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"order_by": "created_at"}, "order_by"),
        ({"status": "open"}, "status"),
        ({"page": "-1"}, "page"),
        ({"per_page": "101"}, "per_page"),
        ({"per_page": "0"}, "per_page"),
        ({"has_updates": "1"}, "has_updates"),
    ],
)
def test_wrong_parameter_is_refused(anna: Applicant, params: dict[str, str], named: str) -> None:
    assert value(anna.call("GET", "/negotiations", params=params)) == (400, named)


def test_status_filters_negotiations(anna: Applicant) -> None:
    vacancies = [anna.sandbox.publish("Программист")["id"] for _ in range(4)]
    waits, invited, refused, closed = (anna.apply(vacancy_id) for vacancy_id in vacancies)
    anna.sandbox.advance(2)
    anna.sandbox.employer_does(invited, "invitation")
    anna.sandbox.employer_does(refused, "discard", "Увы.")
    anna.sandbox.control("POST", f"/vacancies/{vacancies[3]}/close")

    def under(status: str) -> set[str]:
        return set(anna.ids(status=status))

    assert set(anna.ids()) == under("all") == {waits, invited, refused, closed}
    assert under("active") == {waits, invited}
    assert under("response") == {waits}
    assert under("invitations") == {invited}
    assert under("discard") == {refused}
    assert under("archived") == {closed}
    assert under("non_archived") == {waits, invited, refused}
    assert under("deleted") == set()
    shown = anna.get(f"/negotiations/{closed}")
    assert (shown["messaging_status"], shown["vacancy"]["archived"]) == ("archived", True)


def test_negotiation_of_another_person_is_not_found(anna: Applicant, applied: str) -> None:
    timur = Applicant(anna.sandbox, "timur")
    assert timur.ids() == []
    for id_ in (applied, "1", "abc", "9" * 40):
        assert value(timur.call("GET", f"/negotiations/{id_}")) == (404, "not_found")
        assert value(timur.call("GET", f"/negotiations/{id_}/messages")) == (404, "not_found")
        assert value(timur.write(id_)) == (404, "topic_not_found")
    for token in (None, anna.sandbox.token(), anna.sandbox.log_in("employer")["access_token"]):
        for path in ("/negotiations", f"/negotiations/{applied}"):
            assert value(anna.sandbox.call("GET", path, token)) == (403, "forbidden")


def test_deleted_resume_deletes_its_negotiations(anna: Applicant, applied: str) -> None:
    assert anna.call("DELETE", f"/resumes/{anna.resumes[0]}").status_code == 204
    assert anna.ids() == []
    assert value(anna.call("GET", f"/negotiations/{applied}")) == (404, "not_found")
    (row,) = anna.sandbox.applications()  # the log keeps it
    assert (row["outcome"], row["negotiation_id"], row["state"]) == ("accepted", applied, None)


# ── employers' actions ───────────────────────────────────────────────────────────────────────────


def test_employer_actions_change_the_negotiation(anna: Applicant, applied: str) -> None:
    sandbox = anna.sandbox

    def now() -> dict[str, Any]:
        return dict(anna.get(f"/negotiations/{applied}"))

    sandbox.employer_does(applied, "viewed")
    looked = now()
    assert (looked["viewed_by_opponent"], looked["has_updates"]) == (True, False)
    assert looked["updated_at"] == looked["created_at"]
    sandbox.employer_does(applied, "message", "Добрый день!")
    assert now()["counters"] == {"messages": 2, "unread_messages": 1}
    sandbox.advance(60)
    sandbox.employer_does(applied, "invitation", "Приходите.")
    invited = now()
    assert invited["state"] == {"id": "invitation", "name": "Приглашение"}
    assert invited["counters"] == {"messages": 3, "unread_messages": 2}
    assert (invited["has_updates"], invited["read"], invited["decline_allowed"]) == (
        True, False, True,
    )  # fmt: skip
    assert invited["updated_at"] > invited["created_at"]
    assert anna.get("/me")["counters"]["unread_negotiations"] == 1
    for act, name in (("interview", "Собеседование"), ("hired", "Выход на работу")):
        sandbox.employer_does(applied, act)
        assert now()["state"] == {"id": act, "name": name}
    sandbox.employer_does(applied, "discard", "Увы.")
    assert (now()["state"]["id"], now()["decline_allowed"]) == ("discard", False)


def test_planned_actions_survive_a_restart(tmp_path: Path) -> None:
    arguments = ("--vacancies", "100", "--calls-per-second", "100000")

    def fates(anna: Applicant) -> dict[str, Any]:
        items = anna.get("/negotiations", per_page=100)["items"]
        return {item["id"]: (item["state"]["id"], item["viewed_by_opponent"]) for item in items}

    with run_sandbox(tmp_path, *arguments) as sandbox:
        sandbox.control("POST", "/clock", {"rate": 0})
        anna = Applicant(sandbox)
        sandbox.apply_by_hand("anna", count=60)
        assert set(fates(anna).values()) == {("response", False)}
        sandbox.advance(8 * 3_600)
        early = Counter(fates(anna).values())
        assert early["response", True] > 5
        assert early["response", False] > 15
        sandbox.kill()
    with run_sandbox(tmp_path, *arguments) as sandbox:
        anna.sandbox = sandbox
        assert Counter(fates(anna).values()) == early
        sandbox.advance(11 * DAY_S)
        late = fates(anna)
        counts = Counter(late.values())
        assert counts["response", False] > 5  # never viewed
        assert counts["discard", True] > 5
        assert counts["invitation", True] > 2
        sandbox.advance(2 * DAY_S)
        assert fates(anna) == late


def test_ordered_action_replaces_planned_actions(hh_sandbox: HhSandbox) -> None:
    anna = Applicant(hh_sandbox)
    ids = hh_sandbox.apply_by_hand("anna", count=30)["negotiation_ids"]
    for id_ in ids:
        hh_sandbox.employer_does(id_, "discard", "Увы.")
    hh_sandbox.advance(12 * DAY_S)
    items = anna.get("/negotiations", per_page=100)["items"]
    assert {(item["state"]["id"], item["counters"]["messages"]) for item in items} == {
        ("discard", 2)
    }


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/applications/{id}/act", {"act": "fire"}, 400),
        ("/applications/{id}/act", {"act": "message"}, 400),
        ("/applications/{id}/act", {"act": "discard", "text": 1}, 400),
        ("/applications/{id}/act", {"act": "discard", "why": ""}, 400),
        ("/applications/1/act", {"act": "discard"}, 404),
        ("/employers", {"act": 1}, 400),
        ("/people/unknown/applications", {}, 404),
    ],
)
def test_invalid_employer_action_is_refused(
    anna: Applicant, applied: str, path: str, body: Any, status: int
) -> None:
    with pytest.raises(httpx.HTTPStatusError) as raised:
        anna.sandbox.control("POST", path.format(id=applied), body)
    assert raised.value.response.status_code == status
    assert raised.value.response.json()["error"]


# ── messages ────────────────────────────────────────────────────────────────────────────────────


def test_conversation_has_hh_keys_and_flags(anna: Applicant, applied: str) -> None:
    path = f"/negotiations/{applied}/messages"
    anna.sandbox.employer_does(applied, "invitation", "Приходите.")
    body = anna.get(path)
    assert {name: body[name] for name in ("found", "pages", "page", "per_page")} == {
        "found": 2, "pages": 1, "page": 0, "per_page": 20,
    }  # fmt: skip
    letter, invitation = body["items"]
    assert set(letter) == set(invitation) == MESSAGE
    assert (letter["text"], letter["state"]["id"]) == ("Здравствуйте!", "response")
    assert letter["author"] == {"participant_type": "applicant"}
    assert (letter["viewed_by_me"], letter["viewed_by_opponent"]) == (True, True)
    assert (invitation["text"], invitation["state"]["id"]) == ("Приходите.", "invitation")
    assert invitation["author"] == {"participant_type": "employer"}
    assert (invitation["viewed_by_me"], invitation["read"]) == (False, False)
    assert DATE.fullmatch(invitation["created_at"])
    assert int(letter["id"]) < int(invitation["id"])

    shown = anna.get(f"/negotiations/{applied}")
    assert (shown["has_updates"], shown["counters"]["unread_messages"]) == (False, 0)
    assert anna.get(path)["items"][1]["viewed_by_me"] is True
    answer = anna.write(applied, "Спасибо, буду.")
    assert answer.status_code == 201
    sent = answer.json()
    assert set(sent) == MESSAGE
    assert (sent["text"], sent["state"]) == ("Спасибо, буду.", {"id": "text", "name": "Текст"})
    assert (sent["viewed_by_me"], sent["viewed_by_opponent"]) == (True, False)
    assert anna.get(path, page=1, per_page=2)["items"] == [sent]
    anna.sandbox.employer_does(applied, "viewed")
    assert anna.get(path)["items"][2]["viewed_by_opponent"] is True


def test_application_without_a_letter_has_no_text(anna: Applicant) -> None:
    id_ = anna.apply(anna.sandbox.publish("Программист")["id"])
    (message,) = anna.get(f"/negotiations/{id_}/messages")["items"]
    assert (message["text"], message["state"]["id"]) == (None, "response")
    assert anna.get(f"/negotiations/{id_}/messages", with_text_only="true")["found"] == 0


def test_sixth_message_in_a_row_is_refused(anna: Applicant, applied: str) -> None:
    assert [anna.write(applied).status_code for _ in range(5)] == [201] * 5
    assert value(anna.write(applied)) == (403, "in_a_row_limit")
    assert anna.get(f"/negotiations/{applied}")["messaging_status"] == "in_a_row_limit"
    anna.sandbox.employer_does(applied, "message", "Терпение!")
    assert anna.write(applied).status_code == 201


def close(anna: Applicant, vacancy_id: str) -> None:
    anna.sandbox.control("POST", f"/vacancies/{vacancy_id}/close")


@pytest.mark.parametrize(
    ("vacancy", "change", "text", "expected"),
    [
        ({}, None, " ", (403, "empty_message")),
        ({}, None, "Ё" * 10_001, (403, "too_long_message")),
        ({"allow_messages": False}, None, "Да", (403, "disabled_by_employer")),
        ({}, close, "Да", (403, "archived")),
    ],
)
def test_wrong_message_is_refused(
    anna: Applicant,
    vacancy: dict[str, Any],
    change: Callable[[Applicant, str], None] | None,
    text: str,
    expected: tuple[int, str],
) -> None:
    vacancy_id = anna.sandbox.publish("Программист", **vacancy)["id"]
    id_ = anna.apply(vacancy_id)
    anna.sandbox.advance(2)
    if change is not None:
        change(anna, vacancy_id)
    assert value(anna.write(id_, text)) == expected
    assert anna.get(f"/negotiations/{id_}")["counters"]["messages"] == 1


def test_message_without_a_form_and_ordered_refusal(anna: Applicant, applied: str) -> None:
    path = f"/negotiations/{applied}/messages"
    assert value(anna.call("POST", path, json={"message": "Да"})) == (403, "empty_message")
    anna.sandbox.fault("refusal", value="overall_limit", times=1)
    assert value(anna.write(applied)) == (403, "overall_limit")
    assert anna.write(applied).status_code == 201


def test_chat_is_not_ready_at_once(anna: Applicant) -> None:
    id_ = anna.apply(anna.sandbox.publish("Программист")["id"])
    assert value(anna.write(id_)) == (425, "chat_is_not_ready")
    anna.sandbox.advance(1)
    assert anna.write(id_).status_code == 201


def test_employers_reply_to_messages_in_time(hh_sandbox: HhSandbox) -> None:
    hh_sandbox.employers_act(False)
    anna = Applicant(hh_sandbox)
    ids = [anna.apply(hh_sandbox.publish("Программист")["id"]) for _ in range(12)]
    hh_sandbox.employers_act(True)
    hh_sandbox.advance(2)
    assert {anna.write(id_).status_code for id_ in ids} == {201}
    assert anna.ids(has_updates="true") == []
    hh_sandbox.advance(DAY_S)
    assert 2 <= len(anna.ids(has_updates="true")) <= 11


# ── pages and manual ────────────────────────────────────────────────────────────────────────────


def page(sandbox: HhSandbox, path: str) -> str:
    answer = httpx.get(sandbox.url + path, trust_env=False).raise_for_status()
    assert answer.headers["Content-Type"].startswith("text/html")
    return answer.text


def test_employer_page_shows_applications(anna: Applicant) -> None:
    sandbox = anna.sandbox
    assert "Откликов пока нет" in page(sandbox, "/_sandbox/employers")
    vacancy = sandbox.publish("<b>Программист</b>", employer="ООО «Ёлка & Ко»")
    letter = "Здравствуйте!\n<script>alert(1)</script>"
    id_ = anna.apply(vacancy["id"], letter)
    employer_id = vacancy["employer"]["id"]
    assert f'href="/_sandbox/employers/{employer_id}"' in page(sandbox, "/_sandbox/employers")
    shown = page(sandbox, f"/_sandbox/employers/{employer_id}")
    assert "ООО «Ёлка &amp; Ко»: отклики" in shown
    assert "Анна Веснина" in shown
    assert "Backend-инженер" in shown
    assert "Здравствуйте!\n&lt;script&gt;" in shown
    assert "<script>" not in shown
    assert "<b>Программист" not in shown
    assert "не просмотрен" in shown
    assert f'id="{id_}"' in shown
    created_at = datetime.fromisoformat(anna.get(f"/negotiations/{id_}")["created_at"])
    assert f"{created_at:%d.%m.%Y %H:%M:%S}" in shown
    sandbox.employer_does(id_, "invitation")
    assert "Приглашение" in page(sandbox, f"/_sandbox/employers/{employer_id}")
    assert "Откликов пока нет" in page(sandbox, "/_sandbox/employers/1")
    assert "&lt;i&gt;" in page(sandbox, "/_sandbox/employers/%3Ci%3E")


def test_log_can_be_filtered(anna: Applicant) -> None:
    sandbox = anna.sandbox
    vacancies = [sandbox.publish("Программист", employer=name) for name in ("Первая", "Вторая")]
    for vacancy in vacancies:
        anna.apply(vacancy["id"])
    sandbox.apply_by_hand("timur", vacancy_id=vacancies[0]["id"])

    def people(**wanted: str) -> list[str]:
        return [str(row["person"]) for row in sandbox.applications(**wanted)]

    assert people() == ["anna", "anna", "timur"]
    assert people(person="timur") == people(person="170000002") == ["timur"]
    assert people(vacancy_id=vacancies[0]["id"]) == ["anna", "timur"]
    assert people(employer_id=vacancies[1]["employer"]["id"]) == ["anna"]
    assert people(by="hand", outcome="accepted") == ["timur"]
    with pytest.raises(httpx.HTTPStatusError):
        sandbox.applications(vacancy="1")


def test_manual_names_the_application_routes(hh_sandbox: HhSandbox) -> None:
    manual = httpx.get(hh_sandbox.url + "/_sandbox/", trust_env=False).text
    controls = ("/applications", "/applications/{id}/act", "/employers", "/employers/{employer_id}",
                "/people/{person}/applications")  # fmt: skip
    assert all(f"/_sandbox{path}" in manual for path in controls)
    assert all(name in manual for name in REFUSALS)
    assert all(word in manual for word in ("applications_per_day", "refusal", '"method"'))
