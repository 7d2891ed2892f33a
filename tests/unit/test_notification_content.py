"""What events are for their person, and what several of them are together."""

from datetime import UTC, datetime

import pytest

from ullgetthejob.notifications import content, facts
from ullgetthejob.notifications.preferences import Preferences

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)


def application(state="submitted", reason=None, hh_state=None, **more):
    data = {"application_id": "a1", "job_id": "7", "state": state, "reason": reason,
            "hh_state": hh_state, "viewed": False, **more}  # fmt: skip
    return {"seq": 1, "type": "application.updated", "data": data}


def kinds_of(event):
    return [fact.kind for fact in facts.facts_of(event)]


def resume(outcome, by="schedule"):
    data = {"resume_id": "a1", "outcome": outcome, "by": by, "link": "https://hh.ru/resume/a1"}
    return {"type": "resume.updated", "data": data}


@pytest.mark.parametrize(
    ("event", "kinds"),
    [
        (application(reason="invitation", hh_state="invitation"), ["invitation"]),
        (application(reason="interview", hh_state="interview"), ["invitation"]),
        (application(reason="discard", hh_state="discard"), ["refusal"]),
        (application(reason="discard_by_employer", hh_state="discard_by_employer"), ["refusal"]),
        # The letter is sent again, the state is old news.
        (application(reason="viewed", hh_state="invitation"), []),
        (application(reason="found_at_hh"), []),
        (application(reason="hidden", hh_state="hidden"), []),
        (application("review"), ["review"]),
        (application("handoff", "hh_closed"), ["waits_for_you"]),
        (application("needs_person", "repost"), ["waits_for_you"]),
        (application("needs_person", "captcha"), []),
        (application("needs_person", "reauth_required"), []),
        (application("queued"), []),
        (application("waiting_quota", "no_token"), []),
        (application("refused", "filtered_title"), []),
        ({"type": "account.updated", "data": {"state": "captcha"}}, ["trouble"]),
        ({"type": "account.updated", "data": {"state": "reauth_required",
                                              "reason": "hh_token_refused"}}, ["trouble"]),
        ({"type": "account.updated", "data": {"state": "reauth_required",
                                              "reason": "disconnected"}}, []),
        ({"type": "account.updated", "data": {"state": "ok"}}, []),
        ({"type": "account.updated", "data": {"handoff_link": "requested"}}, ["link"]),
        ({"type": "channel.updated", "data": {"channel_id": "c", "kind": "email",
                                              "state": "disabled", "reason": "gone"}}, ["trouble"]),
        ({"type": "channel.updated", "data": {"channel_id": "c", "kind": "email", "state":
                                              "disabled", "reason": "unsubscribed"}}, []),
        ({"type": "message.received", "data": {"application_id": "a"}}, ["message"]),
        (resume("blocked"), ["trouble"]),
        (resume("hh_closed"), ["trouble"]),
        (resume("hh_closed", by="person"), []),
        (resume("raised"), []),
        (resume("too_early"), []),
        ({"type": "message.received", "data": {"application_id": "a", "hh_state": "text"}},
         ["message"]),
        # Told as an invitation, by application.updated.
        ({"type": "message.received", "data": {"application_id": "a", "hh_state": "invitation"}},
         []),
        ({"type": "message.updated", "data": {"application_id": "a", "state": "sent"}}, []),
        ({"type": "fetch.completed", "data": {}}, []),
        ({"type": "rate_limit.updated", "data": {}}, []),
        ({"type": "of.a.later.release", "data": {}}, []),
    ],
)  # fmt: skip
def test_event_is_for_its_person(event, kinds):
    assert kinds_of(event) == kinds


def jobs(*ids, seq=1):
    entries = [{"id": job_id, "title": "t" * 500, "company": None} for job_id in ids]
    data = {"search_name": "Python", "jobs": entries}
    return {"seq": seq, "type": "jobs.new", "data": data}


def test_each_new_vacancy_is_a_fact():
    found = list(facts.facts_of(jobs("1", "2")))
    assert [fact.key for fact in found] == ["1", "2"]
    assert len(found[0].data["title"]) == facts.MAX_TEXT


def plan(*events, channel="email", **preferences):
    return content.plan(events, channel, Preferences(**preferences), now=NOW)


def test_facts_of_a_kind_are_one_message():
    invited = application(reason="invitation", hh_state="invitation", application_id="a2")
    planned = plan({**application("review"), "seq": 4}, {**invited, "seq": 5},
                   {**application("review", application_id="a3"), "seq": 6})  # fmt: skip
    assert [(p.kind, p.first_seq, p.last_seq, p.content["count"]) for p in planned] == [
        ("review", 4, 6, 2), ("invitation", 5, 5, 1),
    ]  # fmt: skip


def test_later_fact_about_the_same_replaces_the_earlier():
    [planned] = plan(application("needs_person", "repost"), application("handoff", "hh_closed"))
    assert planned.content["count"] == 1
    [(key, data)] = planned.content["facts"]
    assert (key, data["state"]) == ("a1", "handoff")


def test_facts_beyond_the_limit_are_counted():
    ids = [str(number) for number in range(facts.MAX_FACTS + 30)]
    [planned] = plan(jobs(*ids[:40]), jobs(*ids[40:]))
    assert len(planned.content["facts"]) == facts.MAX_FACTS
    assert planned.content["count"] == len(ids)
    merged = content.merge(planned.content, planned.content)
    assert len(merged["facts"]) == facts.MAX_FACTS


def test_kind_goes_to_its_channels_alone():
    event = application("review")
    kinds = {"review": {"channels": ["telegram"]}}
    assert plan(event, kinds=kinds) == []
    assert len(plan(event, channel="telegram", kinds=kinds)) == 1


def test_digest_counts_and_its_facts_are_told_too():
    planned = plan(application("review"), jobs("1", "2"), application(), digest={"every": "daily"})
    counts = {"review": 1, "new_vacancies": 2, "applied": 1}
    assert {p.kind: p.content for p in planned}["digest"] == {"counts": counts}
    assert {p.kind for p in planned} == {"digest", "review", "new_vacancies"}
    assert content.merge({"counts": {"review": 1}}, {"counts": counts})["counts"]["review"] == 2
