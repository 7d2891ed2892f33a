"""Words and skills of resumes and vacancies in comparable form.

Words are compared by their dictionary forms (:func:`.russian_text.lemma_of`). Names that the labour
market uses for one thing, in Russian and English, are replaced by one of them: the tables below are
general, and were not made from the pairs of ``docs/fit.md``.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache

from ullgetthejob.platform import russian_text

# The first of each line stands for all of them. Words of titles and texts, in dictionary form.
SAME_WORDS = """
    разработчик программист developer programmer dev девелопер
    инженер engineer
    менеджер manager
    бэкенд backend бекенд
    фронтенд frontend фронтэнд
    фуллстек fullstack
    тестировщик tester qa тестирование testing
    аналитик analyst аналитика analytics
    дизайнер designer дизайн design
    бухгалтер accountant
    администратор administrator admin
    продажа sales
    маркетолог marketer маркетинг marketing
    рекрутер recruiter рекрутинг рекрутмент
    водитель driver шофер
    повар cook
    учитель преподаватель teacher
    врач доктор doctor physician
    медсестра nurse
    юрист lawyer юрисконсульт
    данные data
    проект project проектный
    продукт product продуктовый
    поддержка support
    golang go
    js javascript
    ts typescript
    кладовщик storekeeper
    сварщик электросварщик welder
    электрик электромонтер electrician
    логист логистика logistics
    закупка purchasing procurement закупщик
    кассир cashier
    переводчик translator
    директор director
    английский english
"""
# Skills: spellings of one skill, which may have several words; by "|".
SAME_SKILLS = """
    javascript|js|ecmascript
    typescript|ts
    postgresql|postgres|pgsql
    kubernetes|k8s
    go|golang
    node.js|nodejs|node js
    react|react.js|reactjs
    vue|vue.js|vuejs
    angular|angularjs
    c#|c sharp
    .net|dotnet|.net core|asp.net
    ms sql|mssql|ms sql server|microsoft sql server
    mongodb|mongo
    rest|rest api|restful|restful api
    ci/cd|ci cd|cicd
    machine learning|ml|машинное обучение
    excel|ms excel|microsoft excel
    word|ms word|microsoft word
    powerpoint|ms powerpoint|microsoft powerpoint
    ms office|microsoft office|office
    1с бухгалтерия|1с: бухгалтерия|1с:бухгалтерия 8
    1с предприятие|1с: предприятие|1с:предприятие 8|1с
    пользователь пк|уверенный пользователь пк|знание пк
    английский язык|английский|english
    холодные продажи|холодные звонки
    crm|crm-системы|работа с crm
    amazon web services|aws
    google cloud|gcp
    автокад|autocad
    фотошоп|photoshop|adobe photoshop
    иллюстратор|illustrator|adobe illustrator
    водительское удостоверение категории b|права категории b|водительское удостоверение b
"""
# Words of titles that many professions share: a match of these alone says little.
GENERIC = frozenset(
    """
    инженер менеджер специалист разработчик аналитик руководитель администратор консультант
    оператор мастер директор начальник ассистент помощник сотрудник работник эксперт координатор
    техник представитель агент specialist consultant head team manager engineer
    """.split()  # noqa: SIM905 - one to a word would be forty lines
)
# Grades are compared by experience, not by words.
GRADES = frozenset(
    """
    младший старший ведущий главный junior middle senior lead intern стажер тимлид teamlead джуниор
    мидл сеньор сениор jr sr категория разряд опыт
    """.split()  # noqa: SIM905
)
# Skills that nearly every vacancy lists and nearly every person claims.
SOFT_SKILLS = frozenset(
    """
    ответственность коммуникабельность пунктуальность стрессоустойчивость многозадачность
    обучаемость инициативность внимательность дисциплинированность исполнительность аккуратность
    """.split()  # noqa: SIM905
) | {"работа в команда", "командный работа", "грамотный речь", "деловой общение",
     "пользователь пк", "teamwork", "умение работать в команда"}  # fmt: skip
STOP_WORDS = frozenset(
    """
    и в во не на с со к ко по за из от до для о об у или а но что как это при мы вы наш ваш свой
    быть мочь который весь другой также так же более менее год месяц день работа опыт знание умение
    навык наличие уметь знать работать компания требование обязанность условие
    the a an and or of in to for with on at is are be we you our your as by from will
    """.split()  # noqa: SIM905
)
HYPHENATED = re.compile(
    r"\b(front|back|full|бэк|бек|фронт|фул{1,2})[- ]?(end|stack|енд|энд|стек)\b", re.IGNORECASE
)
SEPARATORS = re.compile(r"[/,;|()«»\"•]|\s[-–—]\s")


def _table(lines: str, separator: str | None = None) -> list[list[str]]:
    return [line.strip().split(separator) for line in lines.strip().splitlines()]


@cache
def _same_words() -> dict[str, str]:
    return {russian_text.lemma_of(name): names[0] for names in _table(SAME_WORDS) for name in names}


@cache
def _in_comparable_form(words: frozenset[str]) -> frozenset[str]:
    return frozenset(" ".join(_word(word) for word in phrase.split()) for phrase in words)


@lru_cache(maxsize=65_536)
def _word(word: str) -> str:
    lemma = russian_text.lemma_of(word)
    return _same_words().get(lemma, lemma)


def is_generic(word: str) -> bool:
    """Return whether many professions have this word of a title."""
    return word in _in_comparable_form(GENERIC)


def is_soft(key: str) -> bool:
    """Return whether the skill of *key* is one that nearly everybody claims."""
    return key in _in_comparable_form(SOFT_SKILLS)


def words_of(text: str) -> list[str]:
    """Return the words of *text* in comparable form, in their order."""
    joined = HYPHENATED.sub(r"\1\2", text)
    return [_word(word) for word in russian_text.plain_words(joined)]


@lru_cache(maxsize=16_384)
def title_words(title: str) -> frozenset[str]:
    """Return the words of a title that name the profession, without its grade and without numbers.
    A language of one letter (C, R) is a word."""
    ignored = _in_comparable_form(STOP_WORDS) | _in_comparable_form(GRADES)
    return frozenset(word for word in words_of(title) if word not in ignored and not word.isdigit())


@lru_cache(maxsize=16_384)
def skill_key(name: str) -> str:
    """Return the same text for all spellings of a skill."""
    key = " ".join(words_of(SEPARATORS.sub(" ", name)))
    return _same_skills().get(key, key)


def skill_keys(names: list[str]) -> dict[str, str]:
    """Return the skills of *names* by their keys, each in its first spelling, in their order."""
    found: dict[str, str] = {}
    for name in names:
        key = skill_key(name)
        if key:
            found.setdefault(key, " ".join(name.split()))
    return found


@cache
def _same_skills() -> dict[str, str]:
    same: dict[str, str] = {}
    for names in _table(SAME_SKILLS, "|"):
        keys = [" ".join(words_of(SEPARATORS.sub(" ", name))) for name in names]
        same |= dict.fromkeys(keys, keys[0])
    return same


@cache
def _spellings() -> dict[str, tuple[str, ...]]:
    """Return all spellings of the skills that have several, by key."""
    found: dict[str, list[str]] = {}
    for spelling, key in _same_skills().items():
        found.setdefault(key, []).append(spelling)
    return {key: tuple(spellings) for key, spellings in found.items()}


class Text:
    """A text in which skills are looked for: the whole phrase, in any form of its words."""

    def __init__(self, text: str) -> None:
        words = words_of(text)
        self.words = frozenset(words)
        self._joined = f" {' '.join(words)} "

    def has(self, key: str) -> bool:
        """Return whether the text has the skill of *key*, in any of its spellings."""
        return any(f" {spelling} " in self._joined for spelling in _spellings().get(key, (key,)))
