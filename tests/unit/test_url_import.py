"""URLs of hh.ru's site become searches, never wider ones."""

from contextlib import suppress
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ullgetthejob.hh.search_parameters import SearchParameters
from ullgetthejob.saved_searches import url_import
from ullgetthejob.saved_searches.url_import import InvalidSearchUrl, parse

SITE = "https://hh.ru/search/vacancy"


def search(**filters):
    return SearchParameters.model_validate(filters)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (f"{SITE}?text=python", search(text="python")),
        (f"{SITE}/?text=python#results", search(text="python")),
        (f"  {SITE}?text=python\n", search(text="python")),
        ("hh.ru/search/vacancy?text=python", search(text="python")),
        ("http://www.hh.ru/search/vacancy?text=python", search(text="python")),
        ("HTTPS://HH.RU:443/search/vacancy?text=python", search(text="python")),
        ("https://spb.hh.ru/search/vacancy?text=python&area=2", search(text="python", area="2")),
        ("https://sochi.hh.ru/search/vacancy?text=python", search(text="python")),
        ("https://api.hh.ru/vacancies?text=a&period=3", search(text="a", period=3)),
        (
            "https://api.hh.ru/vacancies?area=1&area=2&per_page=50&page=3&host=hh.ru&locale=RU"
            "&clusters=true&describe_arguments=true&responses_count_enabled=true&currency=EUR"
            "&salary=9",
            search(area=["1", "2"], currency="EUR", salary=9),
        ),
        ("https://hh.kz/search/vacancy?text=a&area=159", search(text="a", area="159")),
        ("https://almaty.hh.kz/search/vacancy?area=160", search(area="160")),
        ("https://rabota.by/search/vacancy?area=1002&text=c%23", search(area="1002", text="c#")),
        ("https://tashkent.hh.uz/search/vacancy?area=2759", search(area="2759")),
        (SITE, search()),
        (f"{SITE}?", search()),
        # encodings
        (f"{SITE}?text=QA+or+%D1%82%D0%B5%D1%81%D1%82*", search(text="QA or тест*")),
        (f"{SITE}?text=тест+c%2B%2B", search(text="тест c++")),
        (f"{SITE}?text=a%26b%3Dc&area=1", search(text="a&b=c", area="1")),
        (f"{SITE}?text=NAME%3A%28a+AND+b%29", search(text="NAME:(a AND b)")),
        # as the site's form writes fields where nothing is chosen
        (
            f"{SITE}?L_save_area=true&text=Python&excluded_text=&area=2&area=1&salary="
            "&currency_code=RUR&experience=doesNotMatter&order_by=relevance&search_period=0"
            "&items_on_page=50&hhtmFrom=vacancy_search_filter&no_magic=true",
            search(text="Python", area=["2", "1"], order_by="relevance"),
        ),
        (
            f"{SITE}?text=a&from=suggest_post&hhtmFrom=main&hhtmFromLabel=vacancy_search_line"
            "&hhtmSource=x&hhtmSourceLabel=y&suggestId=70fb&customDomain=1&enable_snippets=false"
            "&ored_clusters=true&search_session_id=6a08&page=4&utm_source=x&ysclid=z",
            search(text="a"),
        ),
        # all filters
        (
            f"{SITE}?text=a&search_field=name&search_field=company_name&excluded_text=b%2C+c"
            "&experience=noExperience&experience=between1And3&employment=full&employment=part"
            "&employment_form=FULL&schedule=remote&work_format=REMOTE&work_format=HYBRID"
            "&working_hours=HOURS_8&work_schedule_by_days=FIVE_ON_TWO_OFF&salary=200000"
            "&currency_code=RUR&only_with_salary=true&label=not_from_agency"
            "&label=accredited_it&education=higher&part_time=only_saturday_and_sunday"
            "&metro=6.8&professional_role=96&professional_role=104&industry=7.540"
            "&search_period=7&employer_id=1740&order_by=publication_time&accept_temporary=true"
            "&salary_mode=MONTH&salary_frequency=MONTHLY&driver_license_types=B&premium=false",
            search(
                text="a",
                search_field=["name", "company_name"],
                excluded_text="b, c",
                experience=["noExperience", "between1And3"],
                employment=["full", "part"],
                employment_form="FULL",
                schedule="remote",
                work_format=["REMOTE", "HYBRID"],
                working_hours="HOURS_8",
                work_schedule_by_days="FIVE_ON_TWO_OFF",
                salary=200_000,
                currency="RUR",
                only_with_salary=True,
                label=["not_from_agency", "accredited_it"],
                education="higher",
                part_time="only_saturday_and_sunday",
                metro="6.8",
                professional_role=["96", "104"],
                industry="7.540",
                period=7,
                employer_id="1740",
                order_by="publication_time",
                accept_temporary=True,
                salary_mode="MONTH",
                salary_frequency="MONTHLY",
                driver_license_types="B",
                premium=False,
            ),
        ),
        # repeated values
        (f"{SITE}?text=a&text=a&area=1&area=1", search(text="a", area="1")),
        (f"{SITE}?search_period=3&period=3", search(period=3)),
        # an order by distance needs a point: only the site knows where the person is
        (f"{SITE}?text=a&order_by=distance", search(text="a")),
        (f"{SITE}?order_by=salary_desc&sort_point_lat=1", search(order_by="salary_desc")),
        (
            f"{SITE}?order_by=distance&sort_point_lat=1.5&sort_point_lng=2",
            search(order_by="distance", sort_point_lat=1.5, sort_point_lng=2),
        ),
        (
            f"{SITE}?text=a&bottom_lat=1&top_lat=2&left_lng=3&right_lng=4",
            search(text="a", bottom_lat=1, top_lat=2, left_lng=3, right_lng=4),
        ),
        (f"{SITE}?text=a&no_magic=false", search(text="a", no_magic=False)),
    ],
)
def test_address_of_a_search_becomes_its_parameters(address, expected):
    assert parse(address) == expected


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        # filters that would narrow the search and cannot be saved
        (f"{SITE}?text=a&resume=6c02328dff10706b", "'resume'"),
        (f"{SITE}?text=a&specialization=1.117", "'specialization'"),
        (f"{SITE}?text=a&district=15", "'district'"),
        (f"{SITE}?bottom_left_lat=1", "'bottom_left_lat'"),
        (f"{SITE}?text=a&invented", "'invented'"),
        (f"{SITE}?text=a&invented=", "'invented'"),
        (f"{SITE}?text=a&AREA=1", "'AREA'"),
        (f"{SITE}?text=a&area%5B%5D=1", r"'area\[\]'"),
        (f"{SITE}?text=a&{'x' * 3000}=1", "'x{40}', which"),
        (f"{SITE}?text=a;area=2&x=1", "'x'"),
        # wrong values
        (f"{SITE}?text=a&text=b", "text: "),
        (f"{SITE}?salary=1&salary=2", "salary: "),
        (f"{SITE}?salary=much", "salary: "),
        (f"{SITE}?salary=-1", "salary: "),
        (f"{SITE}?search_period=365", "period: "),
        (f"{SITE}?search_period=3&period=4", "period: "),
        (f"{SITE}?period=3&date_from=2026-01-01", "period: "),
        (f"{SITE}?area=1,2", "area: "),
        (f"{SITE}?area=Moscow", "area: "),
        (f"{SITE}?only_with_salary=maybe", "only_with_salary: "),
        (f"{SITE}?education=none", "education: "),
        (f"{SITE}?text=%00", "text: "),
        (f"{SITE}?text={'a' * 2001}", "text: "),
        (f"{SITE}?" + "&".join(f"area={n}" for n in range(201)), "area: "),
        (f"{SITE}?bottom_lat=1", "bottom_lat: "),
        # the address as a whole
        (f"{SITE}?text=%D2%E5%F1%F2", "UTF-8"),
        (f"{SITE}?" + "&".join(f"area={n}" for n in range(401)), "400 parameters"),
        (f"{SITE}?text={'a' * 16_384}", "16,384 characters"),
        ("https://hh.kz/search/vacancy?text=a", "names no region"),
        ("https://gomel.rabota.by/search/vacancy?text=a&area=", "names no region"),
        # other pages of the site
        ("https://hh.ru/vacancy/123456", "one vacancy"),
        ("https://spb.hh.ru/vacancy/123456?query=python&hhtmFrom=x", "one vacancy"),
        ("https://api.hh.ru/vacancies/123456?host=hh.ru", "one vacancy"),
        ("https://hh.ru/search/resume?text=a", "address of a search"),
        ("https://hh.ru/search/vacancy/map?text=a", "address of a search"),
        ("https://hh.ru/search/vacancy/advanced", "address of a search"),
        ("https://hh.ru/vacancies/programmist", "address of a search"),
        ("https://hh.ru/vacancies?text=a", "address of a search"),
        ("https://api.hh.ru/search/vacancy?text=a", "address of a search"),
        ("https://hh.ru/", "address of a search"),
        ("https://hh.ru", "address of a search"),
        ("https://hh.ru//search/vacancy?text=a", "address of a search"),
        ("https://hh.ru/search/%76acancy", "address of a search"),
        ("https://hh.ru/search/vacancy/../resume", "address of a search"),
        # other sites
        ("https://evil.example/search/vacancy?text=a", "address of a search"),
        ("https://hh.ru.evil.example/search/vacancy?text=a", "address of a search"),
        ("https://evilhh.ru/search/vacancy?text=a", "address of a search"),
        ("https://hh.ru@evil.example/search/vacancy", "address of a search"),
        ("https://me:secret@hh.ru/search/vacancy", "address of a search"),
        ("https://evil.example\\@hh.ru/search/vacancy", "address of a search"),
        ("https://hh.ru:8443/search/vacancy", "address of a search"),
        ("https://hh.ru:x/search/vacancy", "address of a search"),
        ("https://[hh.ru/search/vacancy", "address of a search"),
        ("ftp://hh.ru/search/vacancy", "address of a search"),
        ("javascript:alert(1)", "address of a search"),
        ("file:///search/vacancy", "address of a search"),
        ("python developer", "address of a search"),
        ("", "address of a search"),
        ("?text=a", "address of a search"),
    ],
)
def test_invalid_address_is_refused_with_a_reason(address, reason):
    with pytest.raises(InvalidSearchUrl, match=reason):
        parse(address)


def test_longest_text_fits_into_an_address():
    longest = "ы" * 2000
    assert parse(f"{SITE}?text={quote(longest)}") == search(text=longest)


def test_each_search_parameter_is_known_or_ignored():
    left_out = set(SearchParameters.model_fields) - url_import.KNOWN
    assert left_out == {"page", "per_page"}
    assert not url_import.KNOWN & url_import.IGNORED
    assert set(url_import.RENAMED.values()) <= url_import.KNOWN


# ── round trip ───────────────────────────────────────────────────────────────────────────────────

NAMES_OF_SITE = {api: site for site, api in url_import.RENAMED.items()}
words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40).map(
    str.strip
)
codes = st.lists(st.from_regex(r"[A-Za-z0-9_]{1,12}", fullmatch=True), min_size=1, unique=True)
ids = st.lists(st.integers(1, 10**6).map(str), min_size=1, unique=True)
searches = st.fixed_dictionaries(
    {"text": words},
    optional={
        "search_field": codes,
        "excluded_text": words.filter(bool),
        "experience": codes,
        "employment_form": codes,
        "work_format": codes,
        "working_hours": codes,
        "label": codes,
        "area": ids,
        "metro": st.lists(st.from_regex(r"[1-9]\.[1-9]", fullmatch=True), min_size=1, unique=True),
        "professional_role": ids,
        "industry": ids,
        "employer_id": ids,
        "salary": st.integers(1, 10**9),
        "only_with_salary": st.booleans(),
        "accept_temporary": st.booleans(),
        "period": st.integers(1, 31),
        "order_by": st.sampled_from(["relevance", "publication_time"]),
        "no_magic": st.booleans(),
    },
).map(SearchParameters.model_validate)
noise = st.lists(
    st.tuples(st.sampled_from(sorted(url_import.IGNORED)), st.text(max_size=9)), max_size=5
)
hosts = st.sampled_from(["hh.ru", "spb.hh.ru", "www.hh.ru"])


def address_of(parameters, host):
    pairs = [
        (NAMES_OF_SITE.get(name, name), value)
        for name, value in parameters.query()
        if name not in ("page", "per_page")
    ]
    return f"https://{host}/search/vacancy", pairs


@given(parameters=searches, host=hosts, more=noise, data=st.data())
def test_search_survives_the_round_trip_through_an_address(parameters, host, more, data):
    address, pairs = address_of(parameters, host)
    mixed = list(pairs)
    for pair in more:
        mixed.insert(data.draw(st.integers(0, len(mixed))), pair)
    assert (
        parse(f"{address}?{urlencode(mixed, errors='replace')}").query() == parameters.query()
    )  # only_with_salary is sent as a label


@given(parameters=searches, name=st.from_regex(r"[a-z_]{1,20}", fullmatch=True), host=hosts)
def test_unknown_parameter_is_refused_by_its_name(parameters, name, host):
    if name in url_import.KNOWN | url_import.IGNORED | set(url_import.RENAMED):
        return
    address, pairs = address_of(parameters, host)
    with pytest.raises(InvalidSearchUrl, match=f"'{name}'"):
        parse(f"{address}?{urlencode([*pairs, (name, '1')])}")


@given(st.text(max_size=200) | st.text(max_size=100).map(lambda text: f"{SITE}?{text}"))
def test_any_text_is_parsed_or_refused(text):
    with suppress(InvalidSearchUrl):
        parse(text)
