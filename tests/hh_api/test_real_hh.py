"""The real hh.ru: run by hand with real credentials (make test-hh-api), never in CI.

HH_USER_AGENT names you to hh.ru; HH_ACCESS_TOKEN is an application token of yours.
"""

import os

import pytest

from tests.harness.hh_client import Unpaced
from ullgetthejob.hh.client import HHClient
from ullgetthejob.hh.search_parameters import SearchParameters

pytestmark = pytest.mark.hh_api


class Given:
    def current(self):
        return os.environ["HH_ACCESS_TOKEN"]

    def renewed(self, refused):
        pytest.fail("hh.ru refuses HH_ACCESS_TOKEN")


@pytest.fixture(scope="module")
def hh():
    missing = [name for name in ("HH_ACCESS_TOKEN", "HH_USER_AGENT") if not os.environ.get(name)]
    if missing:
        pytest.skip(f"not set: {', '.join(missing)}")
    url = os.environ.get("HH_API_URL") or "https://api.hh.ru"
    return HHClient(url, user_agent=os.environ["HH_USER_AGENT"], pacer=Unpaced(), token=Given())


def test_a_search_and_one_of_its_vacancies_are_read(hh):
    page = hh.search(SearchParameters(text="Python", area=("1",), per_page=5))
    assert page.items
    assert hh.vacancy(page.items[0].id).description


@pytest.mark.parametrize(
    "path", ["/dictionaries", "/areas", "/metro", "/professional_roles", "/industries"]
)
def test_a_dictionary_is_revalidated_by_its_etag(hh, path):
    etag, content = hh.dictionary(path)
    assert content
    if etag:
        assert hh.dictionary(path, etag=etag)[1] is None
