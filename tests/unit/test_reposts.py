"""Which vacancies are one job: the key of employer and title, and the similarity of texts."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ullgetthejob.hh.models import Address, Employer, Entry, Vacancy
from ullgetthejob.platform import russian_text
from ullgetthejob.vacancies import grade, reposts

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)

BARISTA = (
    "Опыт работы от полугода, но готовы и научить с нуля. Медицинская книжка. Любовь к кофе и к "
    "людям. Варить эспрессо и капучино, помогать гостям с выбором, следить за чистотой стойки, "
    "принимать поставки по утрам и вести учёт зерна в нашей программе."
)
ACCOUNTANT = (
    "Высшее экономическое образование, уверенное знание 1С:Бухгалтерии 8.3 и основ налогового "
    "учёта. Ведение участка банк-клиент, сверки с поставщиками, подготовка первичных документов, "
    "помощь главному бухгалтеру при закрытии квартала."
)
TEXTS = {
    "developer": "Python от трёх лет, asyncio, PostgreSQL. Писать сервисы доставки событий, "
    "разбирать инциденты, проводить ревью и растить младших коллег в команде платформы.",
    "analyst": "SQL на уровне оконных функций, статистика, опыт A/B-тестов. Считать метрики "
    "продукта, строить витрины и рассказывать бизнесу, что из них следует.",
    "driver": "Права категории C, карта водителя. Развозить хлеб по магазинам области с пяти "
    "утра, сдавать накладные, беречь машину.",
    "barista": BARISTA,
    "accountant": ACCOUNTANT,
}


def vacancy(name="Бариста", employer="7", city="Казань", address=None):
    return Vacancy(
        id="1",
        name=name,
        area=Entry(id="88", name=city),
        employer=Employer(id=employer, name="Кофе на углу"),
        type=Entry(id="open"),
        address=address and Address(city=address),
        published_at=NOW,
    )


@pytest.mark.parametrize(
    "title",
    [
        "Бариста",
        "БАРИСТА",
        "  Бариста ",
        "«Бариста»!",
        "Бариста (Казань)",
        "Бариста [Казань]",
        "Бариста (г. Казань)",
        "Бариста (город Казань, ул. Баумана)",
        "Бариста (г.Казань)",
        "Бариста (м. Площадь Тукая)",
        "Бариста (ул. Баумана, 12)",
        "Бариста, Казань",
        "Бариста - Казань",
        "Бариста г. Казань",
        "Бариста (г. Казань).",
    ],
)
def test_title_is_normalised_without_the_city(title):
    assert reposts.normalised_title(title, cities=["Казань"]) == "бариста"


@pytest.mark.parametrize(
    ("title", "other"),
    [
        ("Программист C++", "Программист C"),
        ("Программист C#", "Программист C++"),
        ("Python-разработчик (Django)", "Python-разработчик (FastAPI)"),
        ("Менеджер по продажам", "Менеджер по закупкам"),
        ("Бухгалтер (на участок банк)", "Бухгалтер (на участок касса)"),
        ("Бухгалтер 1 категории", "Бухгалтер 2 категории"),
        ("Инженер (механик)", "Инженер (метролог)"),
    ],
)
def test_words_that_distinguish_jobs_stay_in_the_title(title, other):
    assert reposts.normalised_title(title) != reposts.normalised_title(other)


def test_letter_yo_equals_e_in_a_title():
    assert reposts.normalised_title("Приёмщик заказов") == reposts.normalised_title(
        "Приемщик Заказов"
    )


def test_title_that_is_only_a_city_stays():
    assert reposts.normalised_title("Казань", cities=["Казань"]) == "казань"


def test_key_depends_on_employer_and_title_without_the_city():
    key = reposts.key_of(vacancy("Бариста (Казань)", city="Казань"))
    assert key == reposts.key_of(vacancy("Бариста (Нижний Новгород)", city="Нижний Новгород"))
    assert key == reposts.key_of(
        vacancy("Бариста, Мытищи", city="Московская обл.", address="Мытищи")
    )
    assert key != reposts.key_of(vacancy("Бариста", employer="8"))
    assert key != reposts.key_of(vacancy("Старший бариста"))


def test_anonymous_or_untitled_vacancy_has_no_key():
    assert reposts.key_of(vacancy(employer=None)) is None
    assert reposts.key_of(vacancy("—!")) is None


def test_text_with_a_few_words_changed_is_similar():
    other = BARISTA.replace("полугода", "трёх месяцев").replace("учёта", "учета")
    assert reposts.is_similar(BARISTA, other)
    assert reposts.is_similar(BARISTA, BARISTA.upper())
    assert reposts.is_similar(BARISTA, f"{BARISTA} Ждём вас!")


def test_text_with_half_of_it_changed_is_not_similar():
    half = len(BARISTA) // 2
    assert not reposts.is_similar(BARISTA, BARISTA[:half] + ACCOUNTANT[half:])


@pytest.mark.parametrize("first", TEXTS)
@pytest.mark.parametrize("second", TEXTS)
def test_texts_of_different_jobs_are_not_similar(first, second):
    assert reposts.is_similar(TEXTS[first], TEXTS[second]) is (first == second)


def test_short_texts_are_compared_by_words():
    assert reposts.is_similar("Опыт от года, медкнижка", "Медкнижка, опыт от года")
    assert not reposts.is_similar("Опыт от года, медкнижка", "Опыт от года, права категории B")


def test_long_text_with_words_reordered_is_not_similar():
    words = BARISTA.split()
    assert not reposts.is_similar(BARISTA, " ".join(words[::2] + words[1::2]))


@pytest.mark.parametrize(("first", "second"), [("", ""), ("", "Опыт"), (" —", "…"), ("Опыт", "")])
def test_empty_text_is_similar_to_no_text(first, second):
    assert not reposts.is_similar(first, second)


def posting(days=0, excerpt=BARISTA, text="", grade=grade.UNKNOWN, *, is_open=True):
    published_at = NOW + timedelta(days=days)
    return reposts.Posting("1", published_at, excerpt, text, grade, is_open)


@pytest.mark.parametrize(("days", "same"), [(0, True), (60, True), (-60, True), (61, False)])
def test_postings_over_sixty_days_apart_are_two_jobs(days, same):
    assert posting().is_same_job(posting(days)) is same
    assert posting(days).is_same_job(posting()) is same


def test_full_texts_are_compared_instead_of_excerpts():
    full, words = f"{BARISTA} {ACCOUNTANT}", BARISTA.split()
    first, second = " ".join(words[:15]) + "...", "..." + " ".join(words[20:])
    assert posting(excerpt=first, text=full).is_same_job(posting(excerpt=second, text=full))
    assert not posting(text=BARISTA).is_same_job(posting(text=ACCOUNTANT))


def test_excerpt_contained_in_a_full_text_is_the_same_job():
    words = BARISTA.split()
    excerpt = "..." + " ".join(words[8:28]) + "..."
    by_excerpt, by_text = posting(excerpt=excerpt), posting(text=BARISTA)
    assert by_excerpt.is_same_job(by_text)
    assert by_text.is_same_job(by_excerpt)
    assert not posting(excerpt=ACCOUNTANT).is_same_job(posting(text=BARISTA))


def test_excerpts_that_mostly_overlap_are_the_same_job():
    words = BARISTA.split()
    longer, shorter = " ".join(words[:30]) + "...", "..." + " ".join(words[10:32])
    assert posting(excerpt=longer).is_same_job(posting(excerpt=shorter))
    assert not posting(excerpt=longer).is_same_job(posting(excerpt=ACCOUNTANT))


JUNIOR = grade.Grade("noExperience", "FULL", frozenset({"ON_SITE"}), 100, 120, "RUR")


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        (JUNIOR, True),
        (replace(JUNIOR, experience="between3And6"), False),
        (replace(JUNIOR, employment="PART"), False),
        (replace(JUNIOR, formats=frozenset({"REMOTE"})), False),
        (replace(JUNIOR, lower=125), False),  # a fifth of 125
        (replace(JUNIOR, lower=124), True),
        (replace(JUNIOR, upper=150), False),
        (replace(JUNIOR, currency="USD", lower=1), True),  # cannot be compared
        (grade.UNKNOWN, True),
        (replace(JUNIOR, experience=None, lower=None, upper=None), True),
    ],
)
def test_open_postings_of_different_grades_are_two_jobs(other, is_same):
    assert posting(grade=JUNIOR).is_same_job(posting(grade=other)) is is_same
    assert posting(grade=other).is_same_job(posting(grade=JUNIOR)) is is_same
    assert posting(grade=JUNIOR, is_open=False).is_same_job(posting(grade=other))


WORDS = st.sampled_from(["опыт", "работа", "график", "склад", "смена", "касса", "отчёт", "сервис"])
TEXT = st.lists(WORDS, max_size=40).map(" ".join)


@given(TEXT, TEXT)
def test_similarity_is_symmetric(first, second):
    assert reposts.is_similar(first, second) == reposts.is_similar(second, first)


@given(st.text(max_size=200))
def test_text_with_words_is_similar_to_itself(text):
    assert reposts.is_similar(text, text) is bool(russian_text.canonical_words(text))


@given(st.sets(st.integers(0, 99), min_size=1), st.sets(st.integers(100, 199), min_size=1))
def test_texts_without_a_common_word_are_not_similar(some, others):
    assert not reposts.is_similar(" ".join(map(str, some)), " ".join(map(str, others)))


@given(st.lists(st.integers(), min_size=40, max_size=80, unique=True), st.data())
def test_long_text_with_a_word_changed_is_similar(numbers, data):
    words = [f"слово{number}" for number in numbers]
    other = words.copy()
    other[data.draw(st.integers(0, len(words) - 1))] = "другое"
    assert reposts.is_similar(" ".join(words), " ".join(other))


@given(st.text(max_size=80), st.text(max_size=20))
def test_normalising_a_title_twice_changes_nothing(title, city):
    once = reposts.normalised_title(title)
    assert once == reposts.normalised_title(once)
    assume(reposts.normalised_title(city))
    assert reposts.normalised_title(f"{title} ({city})", cities=[city]) in (
        reposts.normalised_title(title, cities=[city]),
        reposts.normalised_title(f"{title} ({city})"),  # a city with brackets in its name
    )


# ── groups of linked postings ────────────────────────────────────────────────────────────────────


def linked(posting_id, text="", days=0, **changes):
    """Return a posting that is linked to the first one."""
    return replace(posting(days, text=text), id=posting_id, original_id="1", **changes)


@pytest.mark.parametrize(
    ("group", "moved"),
    [
        ([linked("1", BARISTA), linked("2", BARISTA, 1)], {}),
        ([linked("1", BARISTA), linked("2", ACCOUNTANT, 1)], {"2": "2"}),
        ([linked("0", ACCOUNTANT, -1), linked("1", BARISTA)], {"0": "0"}),
        ([linked("1"), linked("2", ACCOUNTANT, 1)], {}),
        ([linked("1"), linked("2", ACCOUNTANT, 1), linked("3", BARISTA, 2)], {"3": "3"}),
        ([linked("1", BARISTA), linked("2", "", 1), linked("3", ACCOUNTANT, 2)], {"3": "3"}),
        (
            [linked("1", BARISTA), linked("2", ACCOUNTANT), linked("3", ACCOUNTANT)],
            {"2": "2", "3": "2"},
        ),
        ([linked("1", BARISTA), linked("2", ACCOUNTANT, 61)], {}),
        ([linked("1", BARISTA), linked("2", BARISTA, 50), linked("3", BARISTA, 100)], {}),
    ],
)
def test_postings_with_other_full_texts_are_split_from_a_group(group, moved):
    assert reposts.split_group(group) == moved
