"""Codes and ids are checked with hh.ru's dictionaries, stored in Postgres with their ETags."""

from datetime import UTC, datetime, timedelta

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from tests.harness.hh_client import Unpaced
from ullgetthejob.hh import dictionaries
from ullgetthejob.hh.client import HHClient
from ullgetthejob.hh.errors import HHUnavailable
from ullgetthejob.hh.search_parameters import SearchParameters
from ullgetthejob.platform.errors import Invalid

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)

CONTENT = {
    "/dictionaries": {
        "experience": [{"id": "noExperience", "name": "Нет опыта"}, {"id": "moreThan6"}],
        "schedule": [{"id": "remote", "name": "Удаленная работа"}],
        "currency": [{"code": "RUR", "name": "Рубли"}],
        "working_days": [{"id": "only_saturday_and_sunday", "name": "Сб и вс"}],
        "driver_license_types": [{"id": "B"}],
    },
    "/areas": [
        {"id": "113", "name": "Россия", "areas": [{"id": "1", "name": "Москва", "areas": []}]}
    ],
    "/metro": [
        {
            "id": "9",
            "name": "Москва",
            "lines": [{"id": "6", "name": "Линия", "stations": [{"id": "6.8", "name": "Станция"}]}],
        }
    ],
    "/professional_roles": {
        "categories": [{"id": "11", "name": "ИТ", "roles": [{"id": "96", "name": "Программист"}]}]
    },
    "/industries": [
        {"id": "7", "name": "ИТ", "industries": [{"id": "7.540", "name": "Разработка"}]}
    ],
}


class Dictionaries:
    """hh.ru's dictionaries with ETags; ``version`` changes them, ``down`` makes them fail."""

    def __init__(self):
        self.requested = []
        self.version = 1
        self.down = False
        self.client = HHClient(
            "https://api.hh.example",
            user_agent="Test/1.0 (a@b.c)",
            pacer=Unpaced(),
            transport=httpx.MockTransport(self._respond),
        )

    def _respond(self, request):
        self.requested.append((request.url.path, request.headers.get("if-none-match")))
        if self.down:
            return httpx.Response(503)
        etag = f'W/"{self.version}"'
        if request.headers.get("if-none-match") == etag:
            return httpx.Response(304, headers={"etag": etag})
        return httpx.Response(200, json=CONTENT[request.url.path], headers={"etag": etag})


@pytest.fixture
def hh():
    return Dictionaries()


@pytest.fixture
def check(hh, database_url):
    with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as connection:

        def run(now=NOW, **parameters):
            dictionaries.check(
                SearchParameters.model_validate(parameters),
                client=hh.client,
                connection=connection,
                now=now,
            )

        yield run


def wrong(check, **parameters):
    with pytest.raises(Invalid) as raised:
        check(**parameters)
    return [entry["field"] for entry in raised.value.details["fields"]]


def test_known_codes_and_ids_pass(check):
    check(
        experience="noExperience",
        schedule=["remote"],
        salary=1,
        currency="RUR",
        part_time="only_saturday_and_sunday",
        driver_license_types="B",
        area=["113", "1"],
        metro=["6", "6.8"],
        professional_role="96",
        industry=["7", "7.540"],
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("experience", "between1And4"),
        ("schedule", ["remote", "REMOTE"]),
        ("area", "999999"),
        ("metro", "9"),  # a city
        ("professional_role", "11"),  # a category
        ("industry", "8"),
        ("part_time", "never"),
        ("employment", "full"),  # a dictionary that hh.ru dropped
    ],
)
def test_unknown_code_is_refused_by_its_field(check, field, value):
    assert wrong(check, **{field: value}) == [field]


def test_wrong_fields_are_named_with_known_codes(check):
    with pytest.raises(Invalid) as raised:
        check(experience="x", area="5")
    assert [entry["field"] for entry in raised.value.details["fields"]] == ["experience", "area"]
    assert "moreThan6, noExperience" in raised.value.message


def test_search_without_codes_requests_no_dictionary(check, hh):
    check(text="Python", employer_id="123")
    assert hh.requested == []


def test_dictionary_is_revalidated_after_twenty_minutes(check, hh):
    check(area="1")
    check(area="113", now=NOW + timedelta(minutes=19))
    assert hh.requested == [("/areas", None)]
    check(area="1", now=NOW + timedelta(minutes=21))
    check(area="1", now=NOW + timedelta(minutes=40))
    assert hh.requested == [("/areas", None), ("/areas", 'W/"1"')]


def test_changed_dictionary_replaces_the_stored_one(check, hh, monkeypatch):
    check(area="1")
    monkeypatch.setitem(CONTENT, "/areas", [{"id": "40", "name": "Казахстан", "areas": []}])
    hh.version = 2
    later = NOW + timedelta(hours=1)
    check(area="40", now=later)
    assert wrong(check, area="1", now=later) == ["area"]


def test_stale_copy_is_used_while_hh_ru_is_down(check, hh):
    check(area="1")
    hh.down = True
    later = NOW + timedelta(hours=1)
    check(area="1", now=later)
    check(area="1", now=later + timedelta(seconds=30))
    assert len(hh.requested) == 2


def test_failure_without_a_copy_is_raised(check, hh):
    hh.down = True
    with pytest.raises(HHUnavailable):
        check(area="1")
