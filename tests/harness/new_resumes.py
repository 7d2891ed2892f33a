"""A person who requests a new resume for each application."""

import httpx

from tests.harness.applying import ApplyHarness, publish
from ullgetthejob.applications.commands import retry
from ullgetthejob.applications.models import RetryBody
from ullgetthejob.rate_limits import token_bucket

TITLE = "Ведущий Python-разработчик"
CV = {
    "firstName": "Анна",
    "lastName": "Веснина",
    "email": "anna@example.org",
    "phone": "+7 999 123-45-67",
    "title": TITLE,
    "summary": "Пишу сервисы на Python.",
    "experience": "2019-2024, «Ромашка»",
    "skills": ["Python", "Terraform"],
    "matchedSkills": ["PostgreSQL"],
    "addedKeywords": ["Kubernetes"],
}
ROW = """
    SELECT new_resume, new_resume_title, new_resume_asked, resume_id, resume_reason
    FROM application_ledger WHERE id = %s
"""


class ResumeHarness(ApplyHarness):
    """A person who requests a new resume for each application."""

    def submit_with_new_resume(self, vacancy_id=None, cv=None, **fields):
        cv = CV if cv is None else {**CV, **cv}
        return self.submit(
            vacancy_id or publish(self), customized_cv=cv, create_resume=True, **fields
        )

    @property
    def resumes(self):
        return self.world.sandbox.resumes(self.name)

    def resume(self, resume_id):
        token = self.world.log_in(self.name).access_token
        return self.world.sandbox.call("GET", f"/resumes/{resume_id}", token).json()

    def stored(self, accepted):
        return self.connection.execute(ROW, [accepted.application_id]).fetchone()

    def state(self, accepted):
        row = self.row(accepted)
        return row.state, row.reason

    def tokens(self):
        return token_bucket.read_level("submit", self.account_id, now=self.world.now()).tokens

    def let_pass(self, *, rounds=12, seconds=15):
        """Advance the clock in *rounds*, in each of which the submitter does what is due."""
        for _ in range(rounds):
            self.world.sandbox.advance(seconds)
            self.run()

    def count_calls(self, route="POST /resumes"):
        """Return how often hh.ru was called at *route*."""
        calls = self.world.sandbox.control("GET", "/state")["calls"]["by_route"]
        return int(calls.get(route, 0))

    def intercept(self, handle):
        """Call hh.ru through *handle*, a function of the request and of the function that sends
        it."""
        self.hh = self.world.hh(InterceptingTransport(handle))


class InterceptingTransport(httpx.BaseTransport):
    def __init__(self, handle):
        self._handle = handle
        self._inner = httpx.HTTPTransport()

    def handle_request(self, request):
        return self._handle(request, self._inner.handle_request)

    def close(self):
        self._inner.close()


def retry_and_run(harness, accepted):
    retry(str(accepted.application_id), RetryBody(), harness.person, harness.context)
    harness.run()
