"""Letter templates: what they can say, and what is refused in bounded time and memory."""

import time
import tracemalloc

import pytest

from ullgetthejob.hh import responses
from ullgetthejob.letters import rendering
from ullgetthejob.letters.errors import TemplateInvalid, ValueMissing
from ullgetthejob.letters.placeholders import MEANINGS, context_of
from ullgetthejob.letters.rendering import render

CONTEXT = {
    "vacancy": {"id": "101", "title": "Повар <b>горячего</b> цеха"},
    "employer": "Ресторан Волна",
    "skills": {"common": ["Горячий цех", "ХАССП"], "own": ["Горячий цех", "ХАССП", "Тесто"]},
    "resume": {"years": 4},
    "person": {"first_name": "Анна"},
}
RESUME = {
    "title": "Повар",
    "first_name": "Анна",
    "last_name": "Веснина",
    "area": {"id": "88", "name": "Казань"},
    "total_experience": {"months": 50},
    "skill_set": ["Горячий цех", "Тесто"],
    "experience": [{"position": "Повар", "company": "Кафе Пристань", "description": "Супы"}],
}
VACANCY = responses.vacancy_detail(
    {
        "id": "7",
        "name": "Повар",
        "area": {"id": "88", "name": "Казань"},
        "employer": {"id": "1", "name": "Ресторан\nВолна"},
        "type": {"id": "open"},
        "published_at": "2026-11-01T10:00:00+0300",
        "description": "<p>Горячий цех.</p>",
        "key_skills": [{"name": "горячий цех"}, {"name": "Сыры"}],
        "experience": {"id": "between1And3", "name": "От 1 года до 3 лет"},
        "work_format": [{"id": "ON_SITE", "name": "На месте работодателя"}],
    }
)


@pytest.mark.parametrize(
    ("template", "letter"),
    [
        ("{{ vacancy.title }} в {{ employer }}", "Повар <b>горячего</b> цеха в Ресторан Волна"),
        ("{{ skills.common | join }}", "Горячий цех, ХАССП"),
        ("{{ skills.own }}", "Горячий цех, ХАССП, Тесто"),
        ("{{ skills.own | limit(2) | join(' и ') | lower }}", "горячий цех и хассп"),
        ("{% if skills.missing %}Учусь.{% else %}Всё знаю.{% endif %}", "Всё знаю."),
        ("{{ vacancy.city | default('ваш город') }}", "ваш город"),
        ("{{ 'Опытный' if resume.years >= 3 else 'Новый' }} повар", "Опытный повар"),
        ("{% for s in skills.own %}{{ s }}{{ ';' if not loop.last else '.' }}{% endfor %}",
         "Горячий цех;ХАССП;Тесто."),
        ("{{ skills.own | count }} {{ skills.own | first }} {{ skills.own | last }}",
         "3 Горячий цех Тесто"),
        ("Да\n\n\n{% if person.last_name %}\n{{ person.last_name }}\n{% endif %}\n\nНет ",
         "Да\n\nНет"),
        ("{% if employer %}Да.{% endif %}\nНет.", "Да.\nНет."),
        ("{% for s in skills.own %}\n- {{ s }}\n{% endfor %}\nВсё",
         "- Горячий цех\n- ХАССП\n- Тесто\nВсё"),
        ("А\n  {%- if employer -%}  \n Б\n{% endif %}{% if skills.own %}\nВ{% endif %}",
         "АБ\nВ"),
        ("{# мысль #}{{ person.first_name ~ '!' }}{% raw %}{{ }}{% endraw %}", "Анна!{{ }}"),
        ("{{ 'по теме' if 'цех' in vacancy.title }}", "по теме"),
    ],
)  # fmt: skip
def test_template_is_filled_in(template, letter):
    assert render(template, CONTEXT) == letter


def test_variant_depends_on_the_vacancy_alone():
    template = "{{ ['Здравствуйте', 'Добрый день', 'Приветствую'] | variant }}"
    letters = {number: render(template, {"vacancy": {"id": str(number)}}) for number in range(40)}
    assert set(letters.values()) == {"Здравствуйте", "Добрый день", "Приветствую"}
    assert all(render(template, {"vacancy": {"id": str(n)}}) == letters[n] for n in letters)


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("Из {{ vacancy.city }}", "vacancy.city"),
        ("{{ skills.missing | join }}", "skills.missing"),
        ("{{ resume.company | upper }}", "resume.company"),
        ("{{ skills.own | limit(0) | join }}", "list to join"),
        ("{{ 'из ' ~ resume.city }}", "resume.city"),
    ],
)
def test_letter_never_has_a_hole(template, name):
    with pytest.raises(ValueMissing) as raised:
        render(template, CONTEXT)
    assert raised.value.details == {"value": name}


DEEP = 3_000
REFUSED = [
    "", " \n", "{{ ''.__class__ }}", "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ employer.__class__ }}", "{{ employer.format }}", "{{ vacancy.keys }}", "{{ vacancy }}",
    "{{ vacancy['title'] }}", "{{ skills.own[0] }}", "{{ vacancy.titel }}", "{{ _choice }}",
    "{{ 'a' * 10**9 }}", "{{ 10**10**10 }}", "{{ 1 + 1 }}", "{{ -1 }}", "{{ 7 // 0 }}",
    "{{ lipsum(n=10**6) }}", "{{ lipsum }}", "{{ range(10**9) }}", "{{ cycler }}", "{{ self }}",
    "{{ namespace }}", "{{ joiner }}", "{{ dict }}", "{{ loop.index }}", "{{ super() }}",
    "{% for i in range(10**9) %}x{% endfor %}", "{% for i in 'abc' %}x{% endfor %}",
    "{% for i in [1, 2] %}x{% endfor %}", "{% for a, b in skills.own %}x{% endfor %}",
    "{% for a in skills.own %}{% for b in skills.own %}x{% endfor %}{% endfor %}",
    "{% for a in skills.own recursive %}{{ loop(skills.own) }}{% endfor %}",
    "{% for vacancy in skills.own %}x{% endfor %}",
    "{{ '%999999999d' | format(1) }}", "{{ '{:>999999999}'.format(1) }}", "{{ '%9d' % 1 }}",
    "{{ 'a' | replace('a', 'aaaa') }}", "{{ 'a' | center(10**9) }}", "{{ employer | attr('x') }}",
    "{{ skills.own | map('upper') | list }}", "{{ 'abc' | join('xyz') | join('xyz') }}",
    "{{ skills.own | join | join }}", "{{ skills.own | join('" + "-" * 30 + "') }}",
    "{{ skills.own | join(attribute='x') }}", "{{ [] | variant }}", "{{ skills.own | variant }}",
    "{% set a = 'x' %}", "{% set a %}x{% endset %}", "{% macro a() %}{{ a() }}{% endmacro %}",
    "{% include 'x' %}", "{% import 'x' as y %}", "{% extends 'x' %}",
    "{% block a %}{% endblock %}", "{% call a() %}{% endcall %}",
    "{% filter upper %}a{% endfilter %}", "{% do 1 %}",
    "{% autoescape true %}a{% endautoescape %}", "{{ 1 if employer is callable }}", "{{ {} }}",
    "{{", "{% if %}", "{% endif %}", "{# ", "{{ '\\x", "{{ 'a }}", "{% if employer %}",
    "{{" * DEEP, "{#" * DEEP, "{% if " * DEEP, "{{ " + "(" * DEEP + "1" + ")" * DEEP + " }}",
    "{{ " + "[" * DEEP + "]" * DEEP + " }}", "{{ " + "not " * DEEP + "1 }}",
    "{{ " + "9" * 15_000 + " }}", "{{ " + "'a' if 1 else " * 1_000 + "1 }}",
    "{{ 'a' " + "| upper " * 2_000 + "}}", "{% if employer %}" * 500 + "{% endif %}" * 500,
    "{%%}" * 4_000, "{%" * 9_000, ("{% if %}" * 30 + "\n") * 70,
    "{{ employer }}" * 1_400, "x" * 10_001, "x" * 1_000_000, "\n" * 20_001,
    "{% for s in skills.own %}" + "x" * 9_000 + "{% endfor %}",
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(REFUSED)), ids=lambda n: REFUSED[n][:30])
def test_template_that_could_do_harm_is_refused(number):
    with pytest.raises(TemplateInvalid) as raised:
        render(REFUSED[number], CONTEXT)
    assert raised.value.code == "template_invalid"
    assert len(raised.value.message) < 700


# Those that would grow: refused before anything is computed.
GROWING = [t for t in REFUSED if any(sign in t for sign in ("**", "999999", "lipsum", "| join"))]


def test_growing_template_is_refused_within_bounds():
    """Processor time, and Python's memory."""
    render("{{ employer }}", CONTEXT)  # imports Jinja
    rendering._compile.cache_clear()
    tracemalloc.start()
    begin = time.process_time()
    for template in GROWING:
        with pytest.raises(TemplateInvalid):
            render(template, CONTEXT)
    spent, peak = time.process_time() - begin, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(GROWING) > 8
    assert spent < 10
    assert peak < 20_000_000


def test_largest_template_is_rendered_in_bounded_time():
    """The most work that a template may do: its nodes for each item of a full list."""
    names = [f"skill {number}" for number in range(30)]
    body = "{{ '' if s ~ s ~ s == s else '' }}" * 160
    begin = time.process_time()
    context = {"skills": {"own": names}}
    assert render("{% for s in skills.own %}" + body + "{% endfor %}.", context) == "."
    assert time.process_time() - begin < 5


def test_context_has_what_resume_and_vacancy_say():
    context = context_of(RESUME, VACANCY)
    assert context == {
        "vacancy": {
            "id": "7", "title": "Повар", "city": "Казань",
            "experience": "От 1 года до 3 лет", "format": "На месте работодателя",
        },
        "employer": "Ресторан Волна",
        "skills": {"common": ["горячий цех"], "missing": ["Сыры"],
                   "own": ["Горячий цех", "Тесто"]},
        "resume": {"title": "Повар", "city": "Казань", "years": 4, "position": "Повар",
                   "company": "Кафе Пристань"},
        "person": {"first_name": "Анна", "last_name": "Веснина"},
    }  # fmt: skip
    everything = "\n".join(f"{{{{ {path} }}}}" for path in MEANINGS)
    assert "Кафе Пристань" in render(everything, context)


def test_anonymous_vacancy_has_no_employer():
    anonymous = VACANCY.model_copy(
        update={"employer": VACANCY.employer.model_copy(update={"id": None})}
    )
    context = context_of(RESUME, anonymous)
    with pytest.raises(ValueMissing):
        render("{{ employer }}", context)
    assert render("{% if employer %}{{ employer }}{% else %}Вам{% endif %}", context) == "Вам"


def test_empty_resume_has_only_the_vacancy():
    context = context_of({"id": "1"}, VACANCY)
    assert set(context) == {"vacancy", "employer", "skills"}
    assert context["skills"] == {"missing": ["горячий цех", "Сыры"]}


def test_error_names_the_line_of_the_template():
    with pytest.raises(TemplateInvalid, match="line 4"):
        render("{% if employer %}\nДа\n{% endif %}\n{{ vacancy.titel }}", CONTEXT)


def test_text_of_a_vacancy_is_never_a_template():
    context = {"vacancy": {"id": "1", "title": "{{ ''.__class__ }} <script>"}}
    assert render("{{ vacancy.title }}", context) == "{{ ''.__class__ }} <script>"
