"""A person who applies with filters."""

from __future__ import annotations

from tests.harness.applying import ApplyHarness
from ullgetthejob.applications.commands import retry
from ullgetthejob.applications.models import RetryBody
from ullgetthejob.filters import commands
from ullgetthejob.filters.models import FiltersBody, PreviewBody
from ullgetthejob.rate_limits import token_bucket
from ullgetthejob.vacancies import store

PIER = {"id": "77001", "name": "ООО «Облачная пристань»"}
OTHER = {"id": "77002", "name": "Ромашка"}
DAY = 24 * 3600
# The sandbox's own texts, by the vacancy's id, may mention duty at night.
DAYTIME = ["Развитие сервисов"]


class FilteringHarness(ApplyHarness):
    """A person who applies with filters."""

    def put(self, **rules):
        body = FiltersBody.model_validate({"rules": rules})
        return commands.replace(body, self.person, self.context)

    def preview(self, **body):
        return commands.preview(PreviewBody.model_validate(body), self.person, self.context)

    def retry(self, accepted):
        return retry(str(accepted.application_id), RetryBody(), self.person, self.context)

    def store(self, vacancy_id):
        """Store the vacancy as a request of its page does."""
        detail = self.hh.vacancy(vacancy_id)
        store.store_detail(detail, connection=self.connection, now=self.world.now())

    def state(self, accepted):
        row = self.row(accepted)
        return row.state, row.reason

    def tokens(self):
        return token_bucket.read_level("submit", self.account_id, now=self.world.now()).tokens
