"""Creating, editing, publishing and deleting resumes in the sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from local.sandbox.resumes.resume_shape import BUMP_INTERVAL_S
from local.sandbox.resumes.resume_writes import VISIBLE_AFTER_S
from tests.fixtures.hh_sandbox import run_sandbox

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fixtures.hh_sandbox import HhSandbox

LEAST: dict[str, Any] = {
    "title": "Новое резюме",
    "first_name": "Анна",
    "last_name": "Веснина",
    "area": {"id": "2"},
}


class Writer:
    """A logged-in person who writes resumes."""

    def __init__(self, sandbox: HhSandbox, person: str = "anna") -> None:
        self.sandbox = sandbox
        self.token = sandbox.log_in(person)["access_token"]

    def __call__(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.sandbox.call(method, path, self.token, **options)

    def create(self, *, source: str | None = None, **fields: Any) -> str:
        """Create a resume, wait until it is visible, and return its path."""
        query = {"source_resume_id": source} if source else {}
        answer = self("POST", "/resumes", json=fields, params=query)
        assert answer.status_code == 201, answer.text
        self.sandbox.advance(VISIBLE_AFTER_S)
        return str(answer.headers["Location"])

    def titles(self) -> dict[str, str]:
        """Return ids of resumes by title."""
        return {item["title"]: item["id"] for item in self("GET", "/resumes/mine").json()["items"]}


@pytest.fixture
def anna(hh_sandbox: HhSandbox) -> Writer:
    return Writer(hh_sandbox)


def errors(answer: httpx.Response, status: int = 400) -> list[dict[str, Any]]:
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body["request_id"] == answer.headers["X-Request-ID"]
    found: list[dict[str, Any]] = body["errors"]
    return found


# ── create ──────────────────────────────────────────────────────────────────────────────────────


def test_new_resume_is_an_empty_201_with_a_location(anna: Writer) -> None:
    answer = anna("POST", "/resumes", json=LEAST)
    assert (answer.status_code, answer.content) == (201, b"")
    assert answer.headers["Content-Type"].startswith("text/html")
    assert answer.headers["Location"].startswith("/resumes/")


def test_new_resume_is_visible_after_some_seconds(hh_sandbox: HhSandbox, anna: Writer) -> None:
    hh_sandbox.control("POST", "/clock", {"rate": 0})
    path = anna("POST", "/resumes", json=LEAST).headers["Location"]
    hh_sandbox.advance(VISIBLE_AFTER_S - 0.5)
    calls = [("GET", ""), ("PUT", ""), ("POST", "/publish"), ("DELETE", "")]
    for method, suffix in calls:
        assert errors(anna(method, path + suffix), 404) == [{"type": "not_found"}]
    source = anna("POST", "/resumes", json={"title": "Ещё"}, params={
        "source_resume_id": path.rpartition("/")[2],
    })  # fmt: skip
    assert source.status_code == 404
    assert "Новое резюме" not in anna.titles()
    assert anna("GET", "/me").json()["counters"]["resumes_count"] == 2
    assert anna("GET", "/resumes/creation_availability").json()["created"] == 3
    hh_sandbox.advance(0.5)
    assert anna("GET", path).json()["title"] == "Новое резюме"
    assert path.endswith(anna.titles()["Новое резюме"])


def test_new_resume_is_unpublished_with_missing_fields(anna: Writer) -> None:
    body = anna("GET", anna.create(**LEAST)).json()
    assert (body["status"]["id"], body["finished"]) == ("not_published", False)
    lacks = {field["id"] for field in body["progress"]["mandatory"]}
    assert {"contact", "education", "language", "skill_set"} <= lacks


def test_all_wrong_fields_are_in_the_envelope(anna: Writer) -> None:
    answer = anna("POST", "/resumes", json=LEAST | {"title": "x", "access": {"type": {}}})
    assert [(error["value"], error["reason"], error["pointer"]) for error in errors(answer)] == [
        ("title", "length_less_than_min", "/title"),
        ("access", "required", "/access/type/id"),
    ]
    assert set(answer.json()) == {"errors", "request_id"}


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'"x"', b'{"title": NaN}', b'{"title": "\\ud800"}', b"[" * 9_999]
)
def test_body_that_is_no_json_object_is_refused(anna: Writer, content: bytes) -> None:
    answer = anna("POST", "/resumes", content=content)
    assert errors(answer) == [{"type": "bad_request"}]


def test_title_of_another_own_resume_is_refused(anna: Writer) -> None:
    taken = anna("POST", "/resumes", json=LEAST | {"title": "Backend-инженер"})
    assert errors(taken) == [
        {
            "type": "bad_json_data",
            "value": "title",
            "reason": "duplicate",
            "description": "Значение уже было использовано",
            "pointer": "/title",
        }
    ]
    assert Writer(anna.sandbox, "olga").create(**LEAST | {"title": "Backend-инженер"})


def test_copy_takes_absent_fields_from_its_source(anna: Writer) -> None:
    source = anna.titles()["Python-разработчик"]
    path = anna.create(source=source, title="Копия", skill_set=["Rust"])
    old, new = anna("GET", f"/resumes/{source}").json(), anna("GET", path).json()
    assert (new["title"], new["skill_set"]) == ("Копия", ["Rust"])
    for field in ("experience", "education", "contact", "language", "salary"):
        assert new[field] == old[field]
    assert new["status"]["id"] == "not_published"
    assert anna("POST", f"{path}/publish").status_code == 204


def test_unfinished_resume_can_be_copied(hh_sandbox: HhSandbox) -> None:
    egor = Writer(hh_sandbox, "egor")
    path = egor.create(source=egor.titles()["Тестировщик"], title="Стажёр-тестировщик")
    assert egor("GET", path).json()["professional_roles"][0]["id"] == "124"


def test_copy_needs_a_title_of_its_own(anna: Writer) -> None:
    source = {"source_resume_id": anna.titles()["Python-разработчик"]}
    assert errors(anna("POST", "/resumes", params=source))[0]["reason"] == "duplicate"


def test_source_of_another_person_is_not_found(anna: Writer) -> None:
    foreign = Writer(anna.sandbox, "olga").titles()["Главный бухгалтер"]
    for id_ in (foreign, "0" * 38, ""):
        answer = anna("POST", "/resumes", json={"title": "Т1"}, params={"source_resume_id": id_})
        assert errors(answer, 404) == [{"type": "not_found"}]


def test_twenty_first_resume_is_refused(anna: Writer) -> None:
    for number in range(18):
        assert anna("POST", "/resumes", json=LEAST | {"title": f"№ {number}"}).status_code == 201
    full = anna("POST", "/resumes", json=LEAST)
    assert errors(full) == [{"type": "resumes", "value": "total_limit_exceeded"}]
    assert full.json()["description"] == "Bad Request"
    assert anna("GET", "/resumes/creation_availability").json() == {
        "created": 20,
        "is_creation_available": False,
        "max": 20,
        "remaining": 0,
    }
    assert anna("DELETE", f"/resumes/{anna.titles()['Backend-инженер']}").status_code == 204
    assert anna("POST", "/resumes", json=LEAST).status_code == 201


# ── edit ────────────────────────────────────────────────────────────────────────────────────────


def test_edit_replaces_lists_and_keeps_other_fields(anna: Writer) -> None:
    path = f"/resumes/{anna.titles()['Python-разработчик']}"
    before = anna("GET", path).json()
    anna.sandbox.advance(60)
    answer = anna("PUT", path, json={"skill_set": ["Rust"], "salary": None})
    assert (answer.status_code, answer.content) == (204, b"")
    after = anna("GET", path).json()
    assert (after["skill_set"], after["salary"]) == (["Rust"], None)
    assert after["updated_at"] > before["updated_at"]
    for field in ("title", "experience", "contact", "status", "next_publish_at", "created_at"):
        assert after[field] == before[field]


def test_refused_edit_changes_nothing(anna: Writer) -> None:
    path = f"/resumes/{anna.titles()['Python-разработчик']}"
    before = anna("GET", path).json()
    wrong = anna("PUT", path, json={"skills": "Новое", "skill_set": []})
    assert [error["reason"] for error in errors(wrong)] == ["size_less_than_min"]
    taken = anna("PUT", path, json={"title": "Backend-инженер"})
    assert [error["reason"] for error in errors(taken)] == ["duplicate"]
    assert anna("PUT", path, content=b"[]").json()["errors"] == [{"type": "bad_request"}]
    assert anna("GET", path).json() == before
    assert anna("PUT", path, json={"title": "Python-разработчик"}).status_code == 204


# ── publish ─────────────────────────────────────────────────────────────────────────────────────


def test_resume_can_be_republished_every_four_hours(anna: Writer) -> None:
    path = f"/resumes/{anna.titles()['Python-разработчик']}"
    first = anna("POST", f"{path}/publish")
    assert (first.status_code, first.content) == (204, b"")
    body = anna("GET", path).json()
    assert body["can_publish_or_update"] is False
    anna.sandbox.advance(BUMP_INTERVAL_S - 60)
    early = anna("POST", f"{path}/publish")
    assert errors(early, 429) == [{"type": "resumes", "value": "touch_limit_exceeded"}]
    assert early.json()["description"] == "Too Many Requests"
    anna.sandbox.advance(60)
    assert anna("GET", path).json()["can_publish_or_update"] is True
    assert anna("POST", f"{path}/publish").status_code == 204


def test_completed_resume_can_be_published(
    hh_sandbox: HhSandbox,
) -> None:
    egor = Writer(hh_sandbox, "egor")
    path = f"/resumes/{egor.titles()['Тестировщик']}"
    refused = egor("POST", f"{path}/publish")
    assert errors(refused) == [{"type": "bad_request"}]
    assert refused.json()["description"] == "Can't publish resume"
    education = {"level": {"id": "higher"}, "primary": [{"name": "Институт", "year": 2025}]}
    egor("PUT", path, json={"skill_set": ["pytest"], "education": education})
    assert egor("GET", path).json()["can_publish_or_update"] is True
    assert egor("POST", f"{path}/publish").status_code == 204
    body = egor("GET", path).json()
    assert (body["status"]["id"], body["finished"]) == ("published", True)


@pytest.mark.parametrize("status", ["blocked", "on_moderation"])
def test_resume_at_the_moderators_is_not_published(anna: Writer, status: str) -> None:
    resume_id = anna.titles()["Python-разработчик"]
    path, control = f"/resumes/{resume_id}", f"/people/anna/resumes/{resume_id}"
    shown = anna.sandbox.control("POST", control, {"status": status, "notes": ["bad"]})
    assert (shown["status"], shown["notes"]) == (status, ["bad"])
    body = anna("GET", path).json()
    assert (body["status"]["id"], body["blocked"]) == (status, status == "blocked")
    assert (body["can_publish_or_update"], body["moderation_note"][0]["id"]) == (False, "bad")
    [listed] = [i for i in anna("GET", "/resumes/mine").json()["items"] if i["id"] == resume_id]
    assert (listed["status"]["id"], listed["visible"]) == (status, False)
    assert errors(anna("POST", f"{path}/publish")) == [{"type": "bad_request"}]
    vacancy = anna.sandbox.publish("Python-разработчик")["id"]
    refused = anna.sandbox.apply(anna.token, str(vacancy), resume_id)
    assert errors(refused)[0]["value"] == "resume_not_found"
    anna.sandbox.control("POST", control, {"status": "published", "notes": []})
    assert anna("POST", f"{path}/publish").status_code == 204


def test_status_and_access_of_a_resume_are_set_by_control(anna: Writer) -> None:
    resume_id = anna.titles()["Python-разработчик"]
    path, control = f"/resumes/{resume_id}", f"/people/anna/resumes/{resume_id}"
    before = anna("GET", path).json()
    anna.sandbox.control("POST", control, {"access": "no_one"})
    body = anna("GET", path).json()
    assert body["access"]["type"]["id"] == "no_one"
    assert body["updated_at"] == before["updated_at"]
    anna.sandbox.control("POST", control, {"status": "not_published"})
    body = anna("GET", path).json()
    assert (body["status"]["id"], body["next_publish_at"]) == ("not_published", None)
    wrong: tuple[Any, ...] = (
        *({}, [1], {"status": "x"}, {"access": []}, {"notes": "bad"}, {"notes": ["x"]}),
    )
    for sent in wrong:
        with pytest.raises(httpx.HTTPStatusError, match="400"):
            anna.sandbox.control("POST", control, sent)
    with pytest.raises(httpx.HTTPStatusError, match="404"):
        anna.sandbox.control("POST", f"/people/timur/resumes/{resume_id}", {"access": "clients"})
    anna.sandbox.control("DELETE", "/people")
    assert anna.titles()["Python-разработчик"] == resume_id


# ── delete, and access ──────────────────────────────────────────────────────────────────────────


def test_deleted_resume_is_not_found(anna: Writer) -> None:
    path = f"/resumes/{anna.titles()['Backend-инженер']}"
    answer = anna("DELETE", path)
    assert (answer.status_code, answer.content) == (204, b"")
    assert anna("GET", path).status_code == 404
    assert anna("DELETE", path).status_code == 404
    assert list(anna.titles()) == ["Python-разработчик"]


CALLS = (("PUT", ""), ("POST", "/publish"), ("DELETE", ""))


@pytest.mark.parametrize(("method", "suffix"), CALLS)
def test_resume_of_another_person_cannot_be_changed(anna: Writer, method: str, suffix: str) -> None:
    path = f"/resumes/{anna.titles()['Backend-инженер']}"
    before = anna("GET", path).json()
    olga = Writer(anna.sandbox, "olga")
    assert errors(olga(method, path + suffix, json={}), 404) == [{"type": "not_found"}]
    assert anna("GET", path).json() == before


@pytest.mark.parametrize(("method", "suffix"), [*CALLS, ("POST", None)])
def test_writes_need_an_applicant_and_open_mode(
    anna: Writer, method: str, suffix: str | None
) -> None:
    own = f"/resumes/{anna.titles()['Backend-инженер']}"
    path = "/resumes" if suffix is None else own + suffix
    employer = Writer(anna.sandbox, "employer")
    assert errors(employer(method, path, json=LEAST), 403) == [{"type": "forbidden"}]
    anna.sandbox.control("POST", "/mode", {"mode": "closed"})
    assert errors(anna(method, path, json=LEAST), 403) == [{"type": "forbidden"}]
    anna.sandbox.control("POST", "/mode", {"mode": "open"})
    assert set(anna.titles()) == {"Backend-инженер", "Python-разработчик"}


def test_resumes_survive_a_kill(tmp_path: Path) -> None:
    options = ("--vacancies", "20")
    with run_sandbox(tmp_path, *options) as sandbox:
        anna = Writer(sandbox)
        kept = anna.create(**LEAST)
        anna("DELETE", f"/resumes/{anna.titles()['Backend-инженер']}")
        published = f"/resumes/{anna.titles()['Python-разработчик']}"
        anna("PUT", published, json={"skills": "Изменено"})
        assert anna("POST", f"{published}/publish").status_code == 204
        sandbox.kill()
    with run_sandbox(tmp_path, *options) as sandbox:
        anna.sandbox = sandbox
        assert set(anna.titles()) == {"Новое резюме", "Python-разработчик"}
        assert anna("GET", kept).status_code == 200
        assert anna("GET", published).json()["skills"] == "Изменено"
        assert anna("POST", f"{published}/publish").status_code == 429
