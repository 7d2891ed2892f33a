"""The fit of a vacancy and a person's resumes: its route, its weights, and matches by fit."""

from uuid import uuid4

import pytest

from ullgetthejob.fit.models import Weights

FIT, SHOW = "GET /api/jobs/{id}/fit", "GET /api/fit/weights"
REPLACE = "PUT /api/fit/weights"
MATCHES = "GET /api/schedules/{id}/matches"


@pytest.fixture
def anna(core, monkeypatch):
    """Anna's session and JWT."""
    monkeypatch.setenv("HH_ACCESS_TOKEN", core.sandbox.token())
    return core.log_in("anna")


def publish(core, title="Python-разработчик", **fields):
    """Publish a vacancy at hh.ru, and return its id."""
    return core.sandbox.publish(title, **fields)["id"]


def test_fit_is_that_of_the_best_resume(core, anna):
    session, jwt = anna
    job_id = publish(core, skills=["Python", "FastAPI", "Docker", "Git", "COBOL"])
    reply = core.call(FIT, id=job_id, query={"user_id": session})
    assert reply.status == 200, reply
    best = reply.body
    assert (best["job_id"], best["resume_title"]) == (job_id, "Python-разработчик")
    assert set(best["skills_in_common"]) >= {"Python", "FastAPI"}
    assert best["skills_missing"] == ["COBOL"]
    assert all(reason["ru"] and reason["en"] for reason in best["reasons"])
    titles = core.sandbox.resumes("anna")
    scores = {}
    for title, resume_id in titles.items():
        query = {"resume_id": resume_id}
        one = core.call(FIT, id=job_id, query=query, jwt=jwt, secret=None).body
        assert one["resume_title"] == title
        scores[resume_id] = one["score"]
    assert best["score"] == max(scores.values()) == scores[best["resume_id"]]
    assert ("user", "resumes.read", "ok") in core.audited()


def test_stored_vacancy_is_not_read_again(core, anna):
    session, _ = anna
    job_id = publish(core)
    query = {"user_id": session}
    first = core.call(FIT, id=job_id, query=query)
    assert core.call(FIT, id=job_id, query=query).body["score"] == first.body["score"]
    assert core.hits("GET /vacancies/{vacancy_id}") == 1
    [row] = core.rows("SELECT id::text FROM jobs WHERE external_id = %s", job_id)
    assert core.call(FIT, id=row["id"], query=query).body["job_id"] == job_id


@pytest.mark.parametrize(
    ("job_id", "query", "refusal"),
    [
        ("1", {}, (404, "job_not_found")),
        ("x", {}, (404, "job_not_found")),
        ("../me", {}, (404, "job_not_found")),
        ("published", {"resume_id": "abc123"}, (404, "resume_not_found")),
        ("published", {"resume_id": "../me"}, (422, "invalid_request")),
    ],
)
def test_unknown_job_or_resume_is_refused(core, anna, job_id, query, refusal):
    job_id = publish(core) if job_id == "published" else job_id
    reply = core.call(FIT, id=job_id, query={"user_id": anna[0], **query})
    assert reply.refusal == refusal


def test_resume_of_another_person_is_not_found(core, anna):
    job_id = publish(core)
    [timurs, *_] = core.sandbox.resumes("timur").values()
    query = {"user_id": anna[0], "resume_id": timurs}
    assert core.call(FIT, id=job_id, query=query).refusal == (404, "resume_not_found")


def test_person_without_a_resume_is_told_so(core, anna):
    session, _ = core.log_in("vera")
    reply = core.call(FIT, id=publish(core), query={"user_id": session})
    assert reply.refusal == (404, "resume_not_found")


def test_closed_resumes_need_the_person(core, anna):
    job_id = publish(core)
    core.sandbox.set_era("closed")
    reply = core.call(FIT, id=job_id, query={"user_id": anna[0]})
    assert reply.refusal == (409, "hh_closed")


def test_weights_of_an_account_change_its_fits(core, anna):
    session, jwt = anna
    as_anna = {"jwt": jwt, "secret": None}
    shown = core.call(SHOW, **as_anna).body
    assert shown == {"success": True, "weights": Weights().model_dump(), "updated_at": None}
    job_id = publish(core, area="3")
    before = core.call(FIT, id=job_id, **as_anna).body
    put = core.call(REPLACE, body={"weights": {"salary": 0, "title": 100}}, **as_anna)
    assert put.status == 200
    assert put.body["weights"] == Weights(salary=0, title=100).model_dump()
    assert core.call(SHOW, query={"user_id": session}).body == put.body
    after = {reason["part"]: reason for reason in
             core.call(FIT, id=job_id, **as_anna).body["reasons"]}  # fmt: skip
    assert after["salary"]["of"] == 0
    assert after["title"]["of"] > before["reasons"][0]["of"]
    assert ("user", "fit_weights.replace", "ok") in core.audited()
    _, timurs = core.log_in("timur")
    assert core.call(SHOW, jwt=timurs, secret=None).body["updated_at"] is None


@pytest.mark.parametrize(
    "weights",
    [{"title": 101}, {"luck": 5}, {"title": 0.5}, dict.fromkeys(Weights.model_fields, 0), None],
)
def test_wrong_weights_change_nothing(core, anna, weights):
    reply = core.call(REPLACE, body={"weights": weights}, jwt=anna[1], secret=None)
    assert reply.refusal == (422, "invalid_request")
    assert core.rows("SELECT FROM fit_weights") == []


def test_unreadable_weights_are_the_defaults(core, anna):
    core.call(REPLACE, body={"weights": {"title": 3}}, jwt=anna[1], secret=None)
    core.rows("UPDATE fit_weights SET weights = '{\"luck\": 1}'")
    assert core.call(SHOW, jwt=anna[1], secret=None).body["weights"] == Weights().model_dump()


def test_person_who_never_connected_has_default_weights(core):
    session = core.log_in("anna")[0]
    core.rows("UPDATE users SET account_id = NULL")
    body = {"user_id": session, "weights": {"title": 3}}
    assert core.call(SHOW, query={"user_id": session}).body["updated_at"] is None
    assert core.call(REPLACE, body=body).status == 409


# ── matches of a saved search ────────────────────────────────────────────────────────────────────


@pytest.fixture
def search_id(core, anna):
    """A saved search of Anna that has found three vacancies, of which the best is not the last."""
    word = f"word{uuid4().hex}"  # the vacancies of other tests stay
    for number, (title, skills) in enumerate(
        [
            ("Стажёр в отдел кадров", ["Подбор персонала"]),
            ("Python-разработчик", ["Python", "FastAPI", "PostgreSQL"]),
            ("Программист Rust", ["Rust", "C++"]),
        ]
    ):
        core.sandbox.publish(f"{title} {word}", skills=skills, area="2")
        core.sandbox.advance(60 * (number + 1))
    created = core.call(
        "POST /api/schedules",
        body={"user_id": anna[0], "search": {"text": word}},
    )
    assert created.status == 201, created
    found = created.body["id"]
    run = core.call(
        "POST /api/schedules/{id}/fetch",
        id=found,
        query={"user_id": anna[0]},
    )
    assert run.body["run"]["new"] == 3, run
    return found


def matches(core, anna, search_id, **query):
    reply = core.call(MATCHES, id=search_id, query={"user_id": anna[0], **query})
    assert reply.status == 200, reply
    return reply.body


def test_matches_are_sorted_by_fit_and_bounded(core, anna, search_id):
    plain = matches(core, anna, search_id)
    assert {item["fit"] for item in plain["items"]} == {None}
    assert core.hits("GET /resumes/mine") == 0
    best = matches(core, anna, search_id, sort="fit")
    fits = [item["fit"] for item in best["items"]]
    assert (fits, best["found"]) == (sorted(fits, reverse=True), 3)
    assert best["items"][0]["title"].startswith("Python-разработчик")
    assert best["items"][0]["resume_id"] in core.sandbox.resumes("anna").values()
    least = str(fits[1])
    enough = matches(core, anna, search_id, min_fit=least)
    assert {item["fit"] for item in enough["items"]} == {fits[0], fits[1]}
    assert [item["at"] for item in enough["items"]] == sorted(
        (item["at"] for item in enough["items"]), reverse=True
    )
    second = matches(core, anna, search_id, sort="fit", per_page="1", page="1")
    assert [item["fit"] for item in second["items"]] == [fits[1]]


def test_match_that_cannot_be_read_is_last(core, anna, search_id):
    core.rows("UPDATE jobs SET vacancy = '{}', detail = NULL WHERE title LIKE %s", "Python%")
    best = matches(core, anna, search_id, sort="fit")
    assert best["items"][-1]["fit"] is None
    assert matches(core, anna, search_id, min_fit="0")["found"] == 2


def test_matches_with_wrong_fit_are_refused(core, anna):
    for query in ({"sort": "luck"}, {"min_fit": "101"}, {"resume_id": "../x"}):
        reply = core.call(MATCHES, id=str(uuid4()),
            query={"user_id": anna[0], **query},
        )  # fmt: skip
        assert reply.refusal == (422, "invalid_request")
