"""Two people with applications, campaigns and saved searches, whom the generated requests meet."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

from werkzeug.test import Client

from functions.applier import app as applier
from tests.api.application import LAMBDA_CONTEXT, Application
from tests.fixtures.bff import SECRET

if TYPE_CHECKING:
    from uuid import UUID

    from tests.fixtures.hh_sandbox import HhSandbox

SERVICE = {"X-Core-Secret": SECRET}
ADMIN_SECRET = "an administrator's secret"
ADMIN = {"X-Admin-Secret": ADMIN_SECRET}
TELEGRAM_SECRET = "a-secret-of-the-bots-webhook"
TELEGRAM = {"X-Telegram-Bot-Api-Secret-Token": TELEGRAM_SECRET}
SEARCHES = ({"text": "python"}, {"text": "бухгалтер", "area": ["1"]}, {"schedule": "remote"})


@dataclass
class World:
    """Two sessions with accounts (*sessions*: their ids, *tokens*: their JWTs) and what Core knows
    of them. *known*: ids by the name of the field that has them. *answers*: the number of answers
    by route key and status."""

    sandbox: HhSandbox
    sessions: dict[str, UUID] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    known: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    answers: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))

    def __post_init__(self) -> None:
        self.application = Application(self._count)
        self._client = Client(self.application)

    def _count(self, key: str, status: int) -> None:
        self.answers[key][status] += 1

    def call(self, method: str, path: str, **options: Any) -> Any:
        """Return the JSON of a successful request as the service."""
        response = self._client.open(path, method=method, headers=SERVICE, **options)
        assert response.status_code < 300, response.text
        return json.loads(response.text)

    def log_in(self, person: str) -> None:
        """Connect a person of the sandbox, in their session of before if there is one."""
        session = self.sessions.setdefault(person, uuid4())
        query = {"session_id": str(session)}
        login = self.call("GET", "/auth/hh/redirect", query_string=query)
        parameters = dict(parse_qsl(urlsplit(login["url"]).query))
        back = self.sandbox.consent(person, **parameters)
        answer = self.call("GET", "/auth/hh/callback", query_string={**query, **back})
        self.tokens[person] = answer["jwt"]

    def fill(self) -> None:
        """Let the people search, apply, and be in several states."""
        for person in ("anna", "timur"):
            self.log_in(person)
            self.known["user_id"].append(str(self.sessions[person]))
            resumes = list(self.sandbox.resumes(person).values())
            self.known["hh_resume_id"] += resumes
            self.known["resume_id"] += resumes
        jobs = self.call("POST", "/api/jobs/search", json={"per_page": 20})["jobs"]
        self.known["job_external_id"] += [job["id"] for job in jobs]
        self.known["job_id"] = self.known["job_external_id"]
        for person, own in (("anna", jobs[:4]), ("timur", jobs[4:7])):
            self._apply(str(self.sessions[person]), own)
        for search in SEARCHES:
            body = {"user_id": str(self.sessions["anna"]), "search": search}
            self.known["schedule"].append(self.call("POST", "/api/schedules", json=body)["id"])
        for name in ("short", "long", "formal"):
            body = {"user_id": str(self.sessions["anna"]), "name": name, "text": "Hello"}
            made = self.call("POST", "/api/letters/templates", json=body)
            self.known["template_id"].append(made["id"])
        for number in range(3):
            body = {
                "user_id": str(self.sessions["anna"]),
                "kind": "webhook",
                "url": f"https://8.8.8.8/{number}",
            }
            made = self.call("POST", "/api/notifications/channels", json=body)
            self.known["channel"].append(made["id"])
        for session in self.sessions.values():
            campaign = {"user_id": str(session), "jobs": [{"job_external_id": jobs[9]["id"]}]}
            answer = self.call("POST", "/api/queue/add", json=campaign)
            self.known["workflow_id"].append(answer["workflow_id"])
        self.answers.clear()

    def _apply(self, user_id: str, jobs: list[Any]) -> None:
        """Apply to *jobs*, and send all but the last application to hh.ru."""
        for job in jobs:
            if job is jobs[-1]:
                self._send_applications(user_id)
            body = {"user_id": user_id, "job_external_id": job["id"], "cover_letter": "Hello"}
            body |= {"review": "always"} if job is jobs[0] else {}
            answer = self.call("POST", "/api/applications/submit", json=body)
            self.known["application"].append(answer["application_id"])

    def _send_applications(self, user_id: str) -> None:
        account = self.call("GET", f"/api/accounts/{user_id}")["account_id"]
        message = {"account_id": account}
        record = {"messageId": "1", "body": json.dumps(message), "attributes": {}}
        result = applier.handler({"Records": [record]}, LAMBDA_CONTEXT)
        assert result == {"batchItemFailures": []}
