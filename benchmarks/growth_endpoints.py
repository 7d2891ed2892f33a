"""The endpoints that ``make bench-growth`` measures: every route, and the minute's two rules.

Each handler is called in this process with its sample event (``events/``), in which the sample's
ids are replaced by those of the benchmark's rows. What it calls is real: Postgres, the local AWS,
hh.ru's sandbox. Its changes are committed, as its caller's would be; a command that can be given
once is given again where the answer is the same, and each new application is to another vacancy. A
unit test fails for a sample of ``events/`` that is neither measured nor exempt.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import time
from statistics import median
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import httpx

from benchmarks import growth_statements
from benchmarks.growth_data import FIRST_VACANCY, NOW, uuid_of
from benchmarks.growth_figures import Figure, UnexpectedAnswer
from benchmarks.services import REPOSITORY
from local.template.cloudformation import REGION
from migrations.seed import DEMO_USER_ID
from ullgetthejob.handoff import sessions
from ullgetthejob.platform import clock, postgres
from ullgetthejob.platform.telemetry import logger

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psycopg

    Connection = psycopg.Connection[dict[str, Any]]

EVENTS = REPOSITORY / "events"
PERSON = "anna"  # of the sandbox
VALUES = growth_statements.VALUES
USER_ID, ACCOUNT_ID = VALUES["user_id"], VALUES["account_id"]
CALLS = 9

EXEMPT = {
    "accounts-delete": "ends the account that all others need: its statements are measured",
    "applier": "works off one account's queue: its statements are measured, and hh.ru's answers",
    "broadcaster": "posts to sockets that are open: its statements are measured",
    "fetch_worker": "runs a search at hh.ru: its statements are measured, and make bench-fetch",
    "letters-create": "makes a template, of which an account has few: its statements are measured",
    "letters-delete": "deletes the template that another sample changes",
    "notifications-add": "sends an e-mail by a channel of its own: its statements are measured",
    "notifications-delete": "a channel that does not exist",
    "notifications-rotate": "a channel that does not exist",
    "notifications-test": "a channel that does not exist",
    "notifications-confirm": "a token that does not exist",
    "notifications-unsubscribe": "a token that does not exist",
    "notifications-show_confirm": "a page without a row",
    "notifications-show_unsubscribe": "a token that does not exist",
    "notifier": "sends an account's messages: its statements are measured",
    "public_feed": "posts to the BFF: its statements are measured",
    "resumes-raise": "raises a resume, which hh.ru allows every four hours: see its statements",
    "reviews-edit": "reads a vacancy in full, which hh.ru does not have: see its statements",
    "realtime-broadcast_dummy": "posts to the BFF, which does not run here",
    "telegram": "answers through Telegram's Bot API, which does not run here",
    "migrator": "runs once for each release",
    "handoff-buttons": "does what applications-confirm and -cancel do",
    "handoff-link": "reads an item of DynamoDB",
    "handoff-open": "opens a link, once",
    "handoff-script": "reads a file",
    "frames": "a frame of a socket, of which the server's rows are in DynamoDB",
    "websocket": "a socket, of which the server's rows are in DynamoDB",
    "websocket-disconnect": "a socket, of which the server's rows are in DynamoDB",
    "oauth-callback": "asks hh.ru once for each code: connecting the person calls it",
    "oauth-disconnect": "ends the person whom all others need",
    "oauth-refresh": "asks hh.ru to renew a pair of tokens, once for each",
    "schedules-delete": "deletes the search that all others need",
    "schedules-fetch": "runs a search at hh.ru: its statements are measured, and make bench-fetch",
}
# The commands that end something come last.
LAST = ("applications-cancel", "queue-pause", "queue", "sweeper", "fetcher")
STATUSES = {  # of the others: 200
    "reviews-reply": (202,),
    "schedules-create": (200, 201),
    "submit": (202,),
}
NOT_HTTP = ("sweeper", "fetcher")
LAMBDA = {"AWS_REGION": REGION, "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}

SELECT_BUFFERS = """
    SELECT pg_stat_get_db_blocks_fetched(oid) AS buffers FROM pg_database
    WHERE datname = current_database()
"""
SELECT_TEMPLATE = "SELECT id FROM letter_templates WHERE account_id = %(id)s ORDER BY id LIMIT 1"
# What the pause of a campaign changed, since the other samples need it as it was.
UPDATE_CAMPAIGN_RUNNING = "UPDATE campaigns SET state = 'running' WHERE workflow_id = %(id)s"
UPDATE_HH_USER = "UPDATE accounts SET hh_user_id = %(hh_user_id)s WHERE id = %(id)s"
# The statistics of a session are added to the database's when it is idle, about once a second, or
# at once if it asks for it.
FLUSH = "SELECT pg_stat_force_next_flush()"


def samples() -> list[str]:
    """Return the names of the sample events that are measured, in the order of the calls."""
    found = {path.stem for path in EVENTS.glob("*.json")} - set(EXEMPT) - set(LAST)
    return [*sorted(found), *LAST]


class Endpoints:
    """The functions in this process, with the account of the benchmark connected to hh.ru."""

    def __init__(self, environments: Mapping[str, Mapping[str, str]], observer: Connection) -> None:
        """*environments*: of the functions. *observer*: another connection to the database, which
        reads its statistics."""
        for environment in environments.values():
            os.environ.update(environment)
        os.environ |= {
            **LAMBDA,
            "HH_CALLS_PER_SECOND": "1000",
            "POWERTOOLS_METRICS_DISABLED": "true",
        }
        logger.setLevel(logging.CRITICAL)
        clock.install(lambda: NOW)
        self._observer = observer
        self._calls = 0
        self._jwt = self._resume_id = self._vacancy_id = self._template_id = ""

    def close(self) -> None:
        """Close the connection of the functions and release the clock."""
        postgres.close()
        clock.install(None)

    def connect_person(self) -> None:
        """Connect the account to a person of the sandbox, as the BFF does, and choose the rows of
        the samples. Raises :class:`UnexpectedAnswer`."""
        control = f"{os.environ['HH_API_URL']}/_sandbox"
        # A 429 would pause all calls for a time that never ends here: the clock stands still.
        unlimited = {"calls_per_second": 10_000}
        httpx.post(f"{control}/limit", json=unlimited).raise_for_status()
        people = httpx.get(f"{control}/people").json()["people"]
        [person] = [known for known in people if known["key"] == PERSON]
        self._resume_id = person["resumes"][0]["id"]
        self._observer.execute(UPDATE_HH_USER, {"id": ACCOUNT_ID, "hh_user_id": person["id"]})
        query = {"session_id": str(USER_ID)}
        url = self._answer("oauth", {"queryStringParameters": query})["url"]
        form = {"person": PERSON, "decision": "allow"}
        returned = httpx.post(url, data=form, follow_redirects=False).headers["Location"]
        back = dict(parse_qsl(urlsplit(returned).query))
        answer = self._answer("oauth-callback", {"queryStringParameters": {**query, **back}})
        self._jwt = str(answer["jwt"])
        self._vacancy_id = self._answer("search", {})["jobs"][0]["id"]
        template = self._observer.execute(SELECT_TEMPLATE, {"id": ACCOUNT_ID}).fetchone()
        assert template is not None
        self._template_id = str(template["id"])

    def measure(self, sample: str) -> tuple[Figure, set[str]]:
        """Return the median time of several calls, and their buffers on average, after a first one;
        and no scans, which are those of the statements.

        Raises :class:`UnexpectedAnswer`.
        """
        self._call(sample)
        before = self._buffers()
        took = [self._call(sample) for _ in range(CALLS)]
        return Figure(median(took), (self._buffers() - before) / CALLS), set()

    def _buffers(self) -> int:
        """Return how many buffers all sessions have touched so far."""
        postgres.connection().execute(FLUSH)
        time.sleep(0.02)  # it flushes when it is idle, after its answer
        row = self._observer.execute(SELECT_BUFFERS).fetchone()
        assert row is not None
        return int(row["buffers"])

    def _call(self, sample: str) -> float:
        """Call the handler of a sample and return the milliseconds that it took."""
        event = self.event(sample)
        began = time.perf_counter()
        self._handle(sample, event)
        took = time.perf_counter() - began
        if sample == "queue-pause":
            self._observer.execute(UPDATE_CAMPAIGN_RUNNING, {"id": VALUES["workflow_id"]})
        return took * 1000

    def _answer(self, sample: str, changes: dict[str, Any]) -> Any:
        return json.loads(self._handle(sample, {**self.event(sample), **changes})["body"])

    def _handle(self, sample: str, event: dict[str, Any]) -> Any:
        handler = importlib.import_module(f"functions.{sample.split('-', 1)[0]}.app").handler
        context = SimpleNamespace(aws_request_id="benchmark")
        answer = handler(event, context)
        if sample not in NOT_HTTP and answer["statusCode"] not in STATUSES.get(sample, (200,)):
            raise UnexpectedAnswer(f"{sample}: {answer['statusCode']} {answer['body']}")
        return answer

    def event(self, sample: str) -> dict[str, Any]:
        """Return a sample event with the credentials and the rows of the benchmark."""
        self._calls += 1
        text = (EVENTS / f"{sample}.json").read_text()
        for given, own in self._replaced(sample).items():
            text = text.replace(given, own)
        event: dict[str, Any] = json.loads(text)
        credentials = {
            "x-core-secret": os.environ.get("ORCHESTRATOR_SECRET", ""),
            "x-admin-secret": os.environ.get("ADMIN_SECRET", ""),
            "authorization": f"Bearer {self._jwt}",
        }
        for name in credentials.keys() & event.get("headers", {}).keys():
            event["headers"][name] = credentials[name]
        if sample == "handoff":  # the page's own credentials
            session = sessions.start(USER_ID, ACCOUNT_ID, now=NOW)
            event["cookies"] = [f"{sessions.COOKIE}={session}"]
        return event

    def _replaced(self, sample: str) -> dict[str, str]:
        """Return what stands in place of the ids of a sample."""
        is_new = sample in ("submit", "queue-add")
        vacancy = str(FIRST_VACANCY + 5_000 + self._calls) if is_new else self._vacancy_id
        return {
            str(DEMO_USER_ID): str(USER_ID),
            "11111111-1111-4111-8111-111111111111": str(_application_of(sample)),
            "22222222-2222-4222-8222-222222222222": str(VALUES["search_id"]),
            "7f0c2d9e-53c1-4b77-9a55-0d2c6a1b8e10": str(_campaign_of(sample)),
            "0123456789abcdef0123456789abcdef012345": self._resume_id,
            "00000000-0000-4000-8000-000000000009": self._row_of(sample),
            "4200000001": self._vacancy_id,
            "an-application-of-the-demo-user": f"call-{self._calls}",
            "123456789": vacancy,
        }

    def _row_of(self, sample: str) -> str:
        """Return the template or the review that a command is for."""
        if sample.startswith("letters-"):
            return self._template_id
        return str(uuid_of(f"ledger{growth_statements.REVIEW}"))


def _application_of(sample: str) -> Any:
    """Return the application that a command is for: one in a state that admits it."""
    if sample == "applications-retry":
        return uuid_of(f"ledger{growth_statements.WAITING}")
    if sample == "applications-cancel":
        return uuid_of(f"ledger{growth_statements.WAITING + 1}")
    return VALUES["id"]


def _campaign_of(sample: str) -> Any:
    """Return the campaign that a command is for: what is added goes to one of its own, since the
    other must have the same items in every size."""
    return uuid_of("added to") if sample == "queue-add" else VALUES["workflow_id"]
