"""The check of letters: a row of the table, a letter that it catches and letters that pass."""

import time

import pytest

from ullgetthejob.hh import responses
from ullgetthejob.letters import checking
from ullgetthejob.letters.checking import RULES, check

RESUME = {
    "title": "Python-разработчик",
    "first_name": "Анна",
    "last_name": "Веснина",
    "area": {"id": "2", "name": "Санкт-Петербург"},
    "salary": {"amount": 250000, "currency": "RUR"},
    "total_experience": {"months": 79},
    "skill_set": ["Python", "FastAPI", "PostgreSQL", "Docker"],
    "skills": "Ускорила отчёты на 40 %. Перевела 3 сервиса на AWS Lambda.",
    "experience": [
        {"company": "ООО «Облачная пристань»", "position": "Старший разработчик",
         "description": "REST API, команда из 5 человек", "start": "2020-02-01"},
        {"company": "АО «Василёк»", "position": "Разработчик", "description": "Django",
         "start": "2018-03-01", "end": "2020-01-01"},
    ],
    "contact": [
        {"type": {"id": "email"}, "value": "anna.vesnina@example.org"},
        {"type": {"id": "cell"},
         "value": {"country": "7", "city": "900", "number": "5550101",
                   "formatted": "+7 (900) 555-01-01"}},
    ],
    "site": [{"type": {"id": "personal"}, "url": "https://vesnina.example.org/work"}],
}  # fmt: skip


def vacancy(**changes):
    return responses.vacancy_detail(
        {
            "id": "7",
            "name": "Backend-разработчик (Python)",
            "area": {"id": "1", "name": "Москва"},
            "employer": {"id": "1", "name": "Полярная почта"},
            "salary": {"from": 200000, "to": 300000, "currency": "RUR"},
            "type": {"id": "open"},
            "published_at": "2026-11-01T10:00:00+0300",
            "description": "<p>Развиваем доставку в 12 городах, ищем человека в команду сервиса "
            "«Сова». Нужны Python и Kafka, опыт от 3 лет.</p>",
            "key_skills": [{"name": name} for name in ("Python", "Kafka", "PostgreSQL", "Git")],
            "experience": {"id": "between3And6", "name": "От 3 до 6 лет"},
            **changes,
        }
    )


VACANCY = vacancy()
LETTER = (
    "Здравствуйте! Меня зовут Анна, откликаюсь на вакансию «Backend-разработчик (Python)» в "
    "компании «Полярная почта». Шесть лет пишу на Python и FastAPI, последние годы — в «Облачной "
    "пристани»: перевела 3 сервиса на AWS Lambda и ускорила отчёты на 40 %. Готова обсудить "
    "сервис «Сова» и ожидания от 250 000 рублей.\n\nТелефон: +7 900 555-01-01, почта "
    "anna.vesnina@example.org, работы: https://vesnina.example.org/work\n\n"
    "С уважением,\nАнна Веснина"
)
# By rule: letters (or what is added to the one above) that it catches, with what it finds.
CAUGHT = {
    "placeholder": [
        ("Здравствуйте, {{ employer }}!", "{{ employer }}"),
        ("Рад откликнуться в [Название компании].", "[Название компании]"),
        ("Уважаемый <имя>, пишу вам.", "<имя>"),
        ("Мой опыт ___ лет.", "___"),
        ("Dear ${manager}, hello.", "${manager}"),
        ("Меня привлекает None.", "None"),
        ("Dear {Company Name},", "{Company Name}"),
    ],
    "employer": [
        ("Хочу работать в компании «Ромашка».", "Ромашка"),
        ("Мечтаю о команде «Тинькофф».", "Тинькофф"),
        ("Раньше работала в Яндексе.", "Яндексе"),
        ("Опыт в ООО «Вектор».", "Вектор"),
        ("I would love to join Northwind Apps.", "Northwind Apps"),
    ],
    "vacancy": [
        ("Откликаюсь на вакансию «Главный бухгалтер».", "Главный бухгалтер"),
        ("Прошу рассмотреть на должность менеджера по продажам.", "менеджера по продажам"),
    ],
    "number": [
        ("Увеличила выручку на 70%.", "70%"),
        ("Работаю 9 лет.", "9"),
        ("Десять лет в разработке.", "Десять"),
        ("Руководила командой из 25 человек.", "25"),
        ("Экономия 2 млн рублей.", "2 млн"),
        ("Жду 400 тыс. на руки.", "400 тыс"),
    ],
    "skill": [
        ("Глубоко знаю Kafka.", "Kafka"),
        ("Уверенно пишу на Rust.", "Rust"),
        ("Пять лет с Kubernetes.", "Kubernetes"),
        ("Владею Git.", "Git"),
    ],
    "name": [
        ("С уважением, Иван Петров", "Иван Петров"),
        ("Меня зовут Мария.", "Мария"),
    ],
    "link": [
        ("Портфолио: https://portfolio.example.com/me", "https://portfolio.example.com/me"),
        ("Пишите: t.me/anna_dev", "t.me/anna_dev"),
        ("Мой сайт anna-dev.ru ждёт вас", "anna-dev.ru"),
    ],
    "contact": [
        ("Пишите на other@example.net", "other@example.net"),
        ("Звоните +7 (911) 222-33-44", "+7 (911) 222-33-44"),
        ("Телеграм @other_person", "@other_person"),
    ],
    "length": [("", "0"), ("Здравствуйте, возьмите меня.", "28"), ("Да. " * 900, "3599")],
    "language": [
        ("Hello! I have been writing services in Python for years, and I would be glad to talk "
         "about the backend of your delivery platform with you.", "en"),
    ],
}  # fmt: skip
PASSES = [
    "Готова изучить Kafka, с ней пока не работала.",
    "Знаю REST API и Docker.",
    "Работала в «Васильке» с 2018 по 2020 год, пришла из «Василька».",
    "Ищу роль в команде «Сова», доставка в 12 городах впечатляет.",
    "Опыт — 6 лет, почти 7.",
    "Пишу на Postgres, есть опыт с postgresql.",
    "Резюме на hh, CV приложу.",
    "Доступна 24/7.",
    "Зарплата: от 300 тыс. рублей.",
    "Позиция в вашей компании мне близка.",
]  # fmt: skip


def found(letter, resume=RESUME, offer=VACANCY):
    return [(finding.rule, finding.text) for finding in check(letter, resume, offer)]


def test_every_rule_has_examples():
    assert {rule.id for rule in RULES} == set(CAUGHT)


def test_letter_of_facts_has_no_findings():
    assert found(LETTER) == []


@pytest.mark.parametrize(
    ("rule", "text", "part"),
    [(rule, text, part) for rule, rows in CAUGHT.items() for text, part in rows],
)
def test_rule_finds_its_part(rule, text, part):
    letter = text if rule in ("length", "language") else f"{LETTER}\n{text}"
    assert (rule, part) in found(letter)


@pytest.mark.parametrize("text", PASSES)
def test_true_sentence_passes(text):
    assert found(f"{LETTER}\n{text}") == []


def test_finding_says_why_in_both_languages():
    [finding] = check(f"{LETTER}\nПишу на Rust.", RESUME, VACANCY)
    assert finding.model_dump() == {
        "rule": "skill", "text": "Rust",
        "ru": "этого навыка нет в резюме", "en": "the resume does not have this skill",
    }  # fmt: skip


def test_letter_to_an_english_vacancy_is_english():
    offer = vacancy(
        name="Backend developer (Python)",
        employer={"id": "1", "name": "Lantern Labs"},
        description="We build tools for clinics and look for an engineer who likes clear code.",
    )
    english = (
        "Hello! I would love to join Lantern Labs. I write services in Python and PostgreSQL, and "
        "have 6 years of experience.\n\nBest regards,\nAnna Vesnina"
    )
    assert found(english, offer=offer) == []
    assert ("language", "ru") in found(LETTER, offer=offer)
    assert ("skill", "Kafka") in found(f"{english} I know Kafka well.", offer=offer)


def test_letter_of_an_empty_resume_may_state_nothing():
    rules = {rule for rule, _ in found(LETTER, resume={"id": "1"})}
    assert {"employer", "number", "skill", "link", "contact"} <= rules
    assert "name" not in rules


def test_findings_are_bounded_and_distinct():
    many = " ".join(f"https://s{number}.example.com" for number in range(200))
    assert len(check(f"{LETTER} {many}", RESUME, VACANCY)) == checking.MAX_FINDINGS
    assert found(f"{LETTER}\nПишу на Rust. Люблю Rust.") == [("skill", "Rust")]


def test_letter_longer_than_hh_takes_has_one_finding():
    assert found("Rust " * 3_000) == [("length", "10001")]


@pytest.mark.parametrize(
    "letter",
    [
        "{{" * 5_000, "[" * 10_000, "a." * 5_000, "1 " * 5_000, "+7 (" * 2_500, "a@" * 5_000,
        "в компании «" * 800, "работал в " * 1_000, "@" * 10_000, "https://" * 1_250,
        "Аа " * 3_300, "a" * 10_000, "1" * 10_000, "меня зовут " * 900, "\n" * 10_000,
        "C+" * 5_000, "aB" * 5_000, "position of " * 830, "а-" * 5_000, "%A" * 5_000,
    ],
)  # fmt: skip
def test_hostile_letter_takes_bounded_time(letter):
    begin = time.process_time()
    check(letter, RESUME, VACANCY)
    assert time.process_time() - begin < 5
