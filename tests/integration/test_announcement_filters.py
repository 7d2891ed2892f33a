"""What a person's rules drop is not announced by saved searches: counted, listed, decided once."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.harness.notifications import NOW, anna, harness, item, query, repost
from ullgetthejob.filters import models, store
from ullgetthejob.hh import responses
from ullgetthejob.saved_searches import matches, notifications
from ullgetthejob.vacancies import store as job_store

__all__ = ["anna", "harness", "query"]

CHEAP = {"salary": {"to": 50_000, "currency": "RUR", "gross": False}}
RICH = {"salary": {"to": 250_000, "currency": "RUR", "gross": False}}
FLOOR = {"salary_floor": {"amount": 100_000}}


def put(harness, account_id, **rules):
    """Store the account's rules."""
    parsed = models.Rules.model_validate(rules)
    values = {
        "account_id": account_id,
        "rules": parsed.model_dump_json(exclude_defaults=True),
        "now": NOW,
    }
    harness.connection.execute(store.UPSERT_FILTERS, values)


def next_run(harness, query, search, *items):
    """Let a run find *items*; return the data of its last event."""
    if items:
        harness.find(query, *items)
    run = harness.run(query, trigger="request")  # so that its end is always notified
    harness.attach(run, search)
    harness.notify(run)
    [account] = harness.rows("SELECT account_id FROM saved_searches WHERE id = %s", search)
    return harness.log(account["account_id"])[-1]["data"]


def listed(harness, search, *, filtered):
    """Return the rule by vacancy id of the search's matches."""
    [row] = harness.rows("SELECT * FROM saved_searches WHERE id = %s", search)
    wanted = matches.MatchQuery(filtered=filtered)
    page = matches.list_matches(row, wanted, connection=harness.connection)
    assert page.found == len(page.items)
    return {match.id: match.filtered_by for match in page.items}


def test_dropped_vacancies_are_counted_and_listed_not_announced(harness, anna, query):
    put(harness, anna, title_words=["стажёр"], **FLOOR)
    search = harness.search(anna, query)
    found = (item(1, name="Стажёр"), item(2, **CHEAP), item(3, **RICH), item(4))
    ended = next_run(harness, query, search, *found)
    assert (ended["told"], ended["filtered"]) == (2, 2)
    assert harness.announced(anna) == ["3", "4"]
    assert listed(harness, search, filtered=True) == {"1": "title", "2": "salary"}
    assert listed(harness, search, filtered=False) == {"3": None, "4": None}
    counted = matches.count_filtered(anna, [query], connection=harness.connection)
    assert counted == {query: 2}
    harness.check(anna)


def test_rules_of_one_account_hide_nothing_from_another(harness, anna, query):
    put(harness, anna, **FLOOR)
    olga = harness.account()
    run = harness.run(query)
    searches = [harness.search(account, query, run) for account in (anna, olga)]
    harness.find(query, item(1, **CHEAP))
    assert harness.notify(run) == 1
    assert [harness.announced(account) for account in (anna, olga)] == [[], ["1"]]
    assert [listed(harness, search, filtered=True) for search in searches] == [{"1": "salary"}, {}]


def test_later_rules_neither_announce_nor_withdraw(harness, anna, query):
    put(harness, anna, **FLOOR)
    search = harness.search(anna, query)
    next_run(harness, query, search, item(1, **CHEAP), item(2, **RICH))
    put(harness, anna)
    other = harness.query()
    harness.find(other, item(1, **CHEAP), item(3, **CHEAP))
    run = harness.run(other)
    harness.search(anna, other, run, name="Другой")
    harness.notify(run)
    assert harness.announced(anna) == ["2", "3"], "found before, by another search and rules"
    harness.connection.execute("UPDATE saved_searches SET told_match = 0")  # other filters
    put(harness, anna, title_words=["вакансия"])
    ended = next_run(harness, query, search)
    assert (ended["told"], ended["filtered"]) == (0, 0)
    assert harness.announced(anna) == ["2", "3"]
    assert listed(harness, search, filtered=True) == {"1": "salary"}
    harness.check(anna)


def test_search_saved_again_lists_what_was_filtered_before(harness, anna, query):
    put(harness, anna, **FLOOR)
    next_run(harness, query, harness.search(anna, query), item(1, **CHEAP))
    harness.connection.execute("DELETE FROM saved_searches")
    put(harness, anna)
    again = harness.search(anna, query)
    assert next_run(harness, query, again)["told"] == 0
    assert listed(harness, again, filtered=True) == {"1": "salary"}


def test_rule_about_the_full_text_uses_what_is_known(harness, anna, query):
    put(harness, anna, description_words=["рознице"])
    text = "<p>Опыт в рознице от года, грамотная речь и желание учиться.</p>"
    unread, read = item(1), {**item(2), "description": text}
    detail = responses.vacancy_detail(read)
    job_store.store_detail(detail, connection=harness.connection, now=NOW)
    search = harness.search(anna, query)
    next_run(harness, query, search, unread, item(2))
    assert harness.announced(anna) == ["1"], "its text was not read yet"
    assert listed(harness, search, filtered=True) == {"2": "description"}
    detail = responses.vacancy_detail({**unread, "description": text})
    job_store.store_detail(detail, connection=harness.connection, now=NOW)
    assert next_run(harness, query, search)["filtered"] == 0
    assert harness.announced(anna) == ["1"]


@pytest.mark.parametrize(
    "rules",
    [
        {"max_per_employer_per_week": 1},
        {"employers": [{"id": "1"}]},
        {"repost": "skip"},
        {"salary_floor": {"amount": 1}},
    ],
)
def test_rule_that_passes_or_cannot_be_evaluated_hides_nothing(harness, anna, query, rules):
    put(harness, anna, **rules)
    search = harness.search(anna, query)
    foreign = {"salary": {"to": 9_000, "currency": "USD"}}
    anonymous = {"employer": {"name": "Крупная компания"}}
    ended = next_run(harness, query, search, item(1, **anonymous), item(2, **foreign), item(3))
    assert (ended["told"], ended["filtered"]) == (3, 0)


def test_unreadable_rules_hide_nothing(harness, anna, query):
    harness.connection.execute(
        store.UPSERT_FILTERS,
        {"account_id": anna, "rules": json.dumps({"formats": ["MARS"]}), "now": NOW},
    )
    search = harness.search(anna, query)
    assert next_run(harness, query, search, item(1))["told"] == 1


def test_kept_posting_is_announced_in_place_of_a_dropped_one(harness, anna, query):
    put(harness, anna, **FLOOR)
    search = harness.search(anna, query)
    first = {**repost(1, "Казань"), **CHEAP}
    second, third = ({**repost(n, city), **RICH} for n, city in ((2, "Пермь"), (3, "Омск")))
    ended = next_run(harness, query, search, first, second, third)
    if ended["told"] == 2:  # of different grades, they are two jobs
        assert harness.announced(anna) == ["2", "3"]
    else:
        assert harness.announced(anna) == ["2"]
    assert listed(harness, search, filtered=True) == {"1": "salary"}
    harness.check(anna)


def test_later_posting_of_a_dropped_job_is_judged_by_itself(harness, anna, query):
    put(harness, anna, title_words=["продавец"])
    search = harness.search(anna, query)
    next_run(harness, query, search, repost(1, "Казань"))
    assert next_run(harness, query, search, repost(2, "Пермь"))["filtered"] == 1
    put(harness, anna)
    ended = next_run(harness, query, search, repost(3, "Омск"))
    assert (ended["told"], ended["filtered"]) == (1, 0)
    assert harness.announced(anna) == ["3"]
    assert next_run(harness, query, search, repost(4, "Тверь"))["told"] == 0
    harness.check(anna)


@pytest.mark.parametrize(
    ("policy", "state", "told"),
    [
        ("skip", "submitted", 0),
        ("skip", "uncertain", 0),
        ("skip", "handoff", 1),
        ("skip", "refused", 1),
        ("ask", "submitted", 1),
        ("allow", "submitted", 1),
    ],
)
def test_repost_of_applied_job_is_announced_unless_skipped(
    harness, anna, query, policy, state, told
):
    put(harness, anna, repost=policy)
    search = harness.search(anna, query)
    vacancy = responses.vacancy(repost(1, "Казань"))
    job_store.store_vacancies([vacancy], search_query="", connection=harness.connection, now=NOW)
    harness.apply(anna, "1")
    harness.connection.execute("UPDATE application_ledger SET state = %s", (state,))
    ended = next_run(harness, query, search, repost(2, "Пермь"), item(5))
    assert (ended["told"], ended["filtered"]) == (1 + told, 1 - told)
    assert listed(harness, search, filtered=True) == ({} if told else {"2": "repost"})


def test_two_thousand_dropped_vacancies_take_few_statements(harness, anna, query):
    put(harness, anna, title_words=["вакансия"])
    run = harness.run(query)
    harness.search(anna, query, run)
    harness.find(query, *map(item, range(2_000)))

    class Counting:
        def __init__(self):
            self.statements = Counter()

        def __getattr__(self, name):
            return getattr(harness.connection, name)

        def execute(self, sql, *arguments):
            self.statements[sql] += 1
            return harness.connection.execute(sql, *arguments)

    counting = Counting()
    assert notifications.notify_accounts(run, connection=counting, now=NOW) == 0
    assert counting.statements[store.SELECT_STORED_VACANCIES] == 10
    assert sum(counting.statements.values()) < 40
    assert harness.log(anna)[-1]["data"]["filtered"] == 2_000


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("rules"), st.sampled_from([{}, FLOOR, {"title_words": ["вакансия"]}])),
        st.tuples(st.just("find"), st.sets(st.integers(1, 8), min_size=1, max_size=4)),
        st.tuples(st.just("again"), st.none()),
    ),
    max_size=12,
)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=STEPS)
def test_vacancy_is_decided_once_in_any_order_of_rules_and_runs(harness, steps):
    account, query = harness.account(), harness.query()
    search = harness.search(account, query)
    decided, base = {}, 1_000 * harness.scalar("SELECT count(*) FROM accounts")
    rules, found = {}, set()
    for kind, value in steps:
        if kind == "rules":
            rules = value
            put(harness, account, **rules)
            continue
        if kind == "again":
            harness.connection.execute("UPDATE saved_searches SET told_match = 0")
        new = sorted((value or set()) - found)
        found |= set(new)
        shown = [item(base + n, **(CHEAP if n % 2 else RICH)) for n in new]
        next_run(harness, query, search, *shown)
        for n in new:
            rule = "title" if "title_words" in rules else "salary" if rules and n % 2 else None
            decided[str(base + n)] = rule
    assert {
        **listed(harness, search, filtered=True),
        **listed(harness, search, filtered=False),
    } == (decided)
    harness.check(account)
