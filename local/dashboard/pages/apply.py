"""*Search & apply*: a search and applications from its results, called as the BFF calls Core."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from local.dashboard.page import PATH, Page
from local.dashboard.system import Refused
from local.dashboard.tables import Button, Column, table
from local.dev_connect.core import CoreRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.dashboard.system import System

RESULTS = 25
LETTER = "Здравствуйте! Хочу обсудить эту вакансию."
MOST_PEOPLE = 100  # a longer list could not be used
# The latest session of each account: the chosen one and the sandbox's people first.
SELECT_USERS = """
    SELECT account_id, hh_user_id, user_id FROM (
        SELECT DISTINCT ON (a.id) a.id AS account_id, a.hh_user_id, u.id AS user_id, u.updated_at
        FROM accounts a JOIN users u ON u.account_id = a.id ORDER BY a.id, u.updated_at DESC
    ) latest
    ORDER BY user_id::text = %(chosen)s DESC, hh_user_id = ANY(%(known)s) DESC, updated_at DESC,
        account_id LIMIT %(most)s
"""
COLUMNS = (
    Column("title", "Vacancy"),
    Column("company", "Employer"),
    Column("area", "Area"),
    Column("salary", "Salary"),
    Column("note", "Needs"),
    Column("apply", "", "buttons"),
)


async def read(system: System, query: Mapping[str, str], _argument: str) -> dict[str, Any]:
    """Return the people who can apply, and the results of the search that *query* asks for. Raises
    :class:`Refused` and ``psycopg.Error``."""
    text, user_id = query.get("text", "").strip(), query.get("user", "")
    people, user_id = await list_people(system, user_id)
    jobs: list[dict[str, Any]] = []
    problem = ""
    if text:
        try:
            async with system.core() as core:
                jobs = list((await core.search(text, RESULTS))["jobs"])
        except CoreRefused as refused:
            problem = str(refused)
    rows = [_row(job, user_id) for job in jobs]
    return {
        "people": people,
        "user_id": user_id,
        "text": text,
        "search_problem": problem,
        "table": table("jobs", "Vacancies", COLUMNS, rows, query, sort="title", empty="None."),
    }


async def list_people(system: System, user_id: str) -> tuple[list[dict[str, str]], str]:
    """Return the people to choose from, and which one is chosen: *user_id*, or else the first.
    Raises ``psycopg.Error``."""
    names = await _names(system)
    values = {"chosen": user_id, "known": list(names), "most": MOST_PEOPLE}
    people = [
        {
            "id": str(user["user_id"]),
            "account": str(user["account_id"]),
            "name": names.get(user["hh_user_id"]) or str(user["account_id"]),
        }
        for user in await system.select(SELECT_USERS, values)
    ]
    if people and user_id not in {person["id"] for person in people}:
        user_id = people[0]["id"]
    return people, user_id


async def _names(system: System) -> dict[str, str]:
    """Return the sandbox's keys of people, such as anna, by their id at hh.ru; empty with another
    hh.ru."""
    try:
        people = (await system.sandbox("GET", "/people"))["people"]
    except Refused:
        return {}
    return {person["id"]: person["key"] for person in people}


def _row(job: Mapping[str, Any], user_id: str) -> dict[str, Any]:
    needs = [
        text
        for text, is_needed in (
            ("a letter", job.get("response_letter_required")),
            ("a test", job.get("test_required")),
            ("another site", job.get("apply_url")),
        )
        if is_needed
    ]
    fields = {"user": user_id, "vacancy": str(job["hh_vacancy_id"])}
    return {
        "title": job["title"],
        "company": job["company"],
        "area": job["area"],
        "salary": job["salary"],
        "note": ", ".join(needs),
        "apply": [Button("Apply", f"{PATH}/apply/submit", fields)] if user_id else [],
    }


async def submit(system: System, form: Mapping[str, str]) -> str:
    """Hand in an application. Raises :class:`Refused`."""
    letter = form.get("letter") or LETTER
    try:
        async with system.core() as core:
            accepted = await core.submit(form.get("user", ""), form.get("vacancy", ""), letter)
    except CoreRefused as refused:
        raise Refused(str(refused)) from None
    return (
        f"The application {accepted['application_id']} is {accepted['state']}."
        " Follow it at People; act as its employer at hh.ru."
    )


PAGE = Page(
    "apply", "Search & apply", "apply.html", read, actions={"submit": submit}, is_live=False
)
