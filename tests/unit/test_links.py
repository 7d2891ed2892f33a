"""Links to vacancies and searches, as people paste them, and as an attacker would."""

from __future__ import annotations

import time
from contextlib import suppress
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ullgetthejob.job_import.links import InvalidLink, SearchLink, VacancyLink, parse

HOSTS = [
    "hh.ru", "www.hh.ru", "spb.hh.ru", "m.hh.ru", "hh.kz", "almaty.hh.kz", "hh.uz", "hh1.az",
    "rabota.by", "headhunter.ge", "headhunter.kg", "HH.RU", "hh.ru.", "hh.ru:443",
]  # fmt: skip
WAYS = [
    "", "/", "?from=share", "#responses", "?query=python&hhtmFrom=vacancy_search_list",
    "?utm_source=telegram&utm_medium=social", "?text=c%2B%2B&a=%FF", "?query=a b",
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("host", HOSTS)
def test_address_of_vacancy_is_its_id_on_every_site(host, way):
    for scheme in ("https://", "http://", "", "//", "HTTPS://"):
        assert parse(f"  {scheme}{host}/vacancy/123456789{way}\n") == VacancyLink("123456789")


@pytest.mark.parametrize(
    ("text", "vacancy_id"),
    [
        ("123456789", "123456789"),
        ("https://api.hh.ru/vacancies/77?host=hh.kz", "77"),
        ("https://hh.ru/applicant/vacancy_response?vacancyId=77&hhtmFrom=vacancy", "77"),
        ("https://hh.ru/applicant/vacancy_response/popup?vacancyId=77&lux=true", "77"),
        ("https://adsrv.hh.ru/click?b=4&c=9&place=35&vacancyId=77&meta=zz&clickType=link", "77"),
        (f"https://adsrv.hh.ru/click?url={quote('https://hh.ru/vacancy/77?from=ad', '')}", "77"),
        (f"https://hh.ru/click?to={quote(quote('https://hh.ru/vacancy/77', ''), '')}", "77"),
    ],
)
def test_other_form_of_vacancy_is_its_id(text, vacancy_id):
    assert parse(text) == VacancyLink(vacancy_id)


@pytest.mark.parametrize(
    "text",
    [
        "https://hh.ru/search/vacancy?text=python&area=1",
        "hh.ru/search/vacancy?text=python&area=1&from=suggest_post",
        "https://m.hh.ru/search/vacancy?text=python&area=1",
        "https://api.hh.ru/vacancies?text=python&area=1",
        "https://spb.hh.ru/search/vacancy?text= python &area=1",
    ],
)
def test_address_of_search_is_its_parameters(text):
    found = parse(text)
    assert isinstance(found, SearchLink)
    assert (found.parameters.text, found.parameters.area) == ("python", ("1",))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        # other hosts
        ("https://example.org/vacancy/1", "not_hh"),
        ("https://hh.ru.example.org/vacancy/1", "not_hh"),
        ("https://example.org/hh.ru/vacancy/1", "not_hh"),
        ("https://example.org/?https://hh.ru/vacancy/1", "not_hh"),
        ("https://nothh.ru/vacancy/1", "not_hh"),
        ("https://hh.ru%2eexample.org/vacancy/1", "not_hh"),
        ("https://127.0.0.1/vacancy/1", "not_hh"),
        ("https://[::1]/vacancy/1", "not_hh"),
        ("https://[hh.ru/vacancy/1", "not_hh"),
        # user information, and what browsers and parsers read differently
        ("https://hh.ru@example.org/vacancy/1", "not_hh"),
        ("https://anna:secret@hh.ru/vacancy/1", "not_hh"),
        ("https://example.org\\@hh.ru/vacancy/1", "not_hh"),
        ("https://hh.ru\\.example.org/vacancy/1", "not_hh"),
        ("https://hh.ru\t.example.org/vacancy/1", "not_hh"),
        ("https://hh.ru/vacancy/1\r\nHost: example.org", "not_hh"),
        ("https://hh.ru#@example.org/vacancy/1", "no_vacancy"),
        ("https://hh.ru:8080/vacancy/1", "not_hh"),
        ("https://hh.ru:99999/vacancy/1", "not_hh"),
        # other schemes
        ("javascript:alert(1)//hh.ru/vacancy/1", "not_hh"),
        ("file:///vacancy/1", "not_hh"),
        ("ftp://hh.ru/vacancy/1", "not_hh"),
        ("data:text/html,hh.ru/vacancy/1", "not_hh"),
        # unicode that looks alike
        ("https://hh.rυ/vacancy/1", "not_hh"),
        ("https://ｈｈ.ru/vacancy/1", "not_hh"),
        ("https://hh。ru/vacancy/1", "not_hh"),
        ("https://hh.ru/vacancy/１２３", "no_vacancy"),
        ("https://hh.ru/vacancy/٣", "no_vacancy"),
        ("１２３", "not_hh"),
        ("https://hh.ru/vacancy/1\u202e", "no_vacancy"),
        # nothing, or something else on hh.ru
        ("", "not_hh"),
        ("   ", "not_hh"),
        ("python", "not_hh"),
        ("0", "not_hh"),
        ("12345678901234567890", "not_hh"),
        ("https://hh.ru", "no_vacancy"),
        ("https://hh.ru/employer/1455", "no_vacancy"),
        ("https://hh.ru/resume/0123456789abcdef", "no_vacancy"),
        ("https://hh.ru/vacancy/", "no_vacancy"),
        ("https://hh.ru/vacancy/0", "no_vacancy"),
        ("https://hh.ru/vacancy/-1", "no_vacancy"),
        ("https://hh.ru/vacancy/12345678901234567890", "no_vacancy"),
        ("https://hh.ru/vacancy/1/../../resume/1", "no_vacancy"),
        ("https://hh.ru/vacancy/1;drop", "no_vacancy"),
        ("https://hh.ru/?vacancyId=1", "no_vacancy"),
        ("https://hh.ru/applicant/vacancy_response?vacancyId=a", "no_vacancy"),
        # redirects that lead elsewhere, in circles, or are none
        (f"https://adsrv.hh.ru/click?url={quote('https://example.org/vacancy/1', '')}", "not_hh"),
        (f"https://adsrv.hh.ru/click?url={quote('https://hh.ru@e.org/vacancy/1', '')}", "not_hh"),
        ("https://adsrv.hh.ru/click?meta=opaque", "no_vacancy"),
        (f"https://example.org/click?url={quote('https://hh.ru/vacancy/1', '')}", "not_hh"),
        ("https://hh.ru/click?url=" * 8 + "https://hh.ru/vacancy/1", "no_vacancy"),
        # searches that cannot be taken
        ("https://hh.ru/search/vacancy?text=a&unknown_filter=1", "invalid_search"),
        ("https://hh.kz/search/vacancy?text=a", "invalid_search"),
        ("https://hh.ru/search/resume?text=a", "no_vacancy"),
        # huge
        ("https://hh.ru/vacancy/1?a=" + "x" * 20_000, "no_vacancy"),
        ("1" * 1_000_000, "no_vacancy"),
        ("https://hh.ru/click?" + "&".join(f"a{n}=1" for n in range(200)), "no_vacancy"),
    ],
)
def test_link_that_leads_to_no_vacancy_says_why(text, reason):
    began = time.process_time()
    with pytest.raises(InvalidLink) as raised:
        parse(text)
    assert raised.value.reason == reason
    assert len(str(raised.value)) < 300
    assert time.process_time() - began < 0.5


@given(st.one_of(st.text(), st.text().map("https://hh.ru/vacancy/{}".format),
                 st.text().map("https://{}/vacancy/1".format)))  # fmt: skip
def test_any_text_is_a_link_or_refused(text):
    with suppress(InvalidLink):
        found = parse(text)
        assert isinstance(found, SearchLink) or found.vacancy_id.isascii()
