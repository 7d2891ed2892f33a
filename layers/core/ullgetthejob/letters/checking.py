"""The check of a letter: what it says that neither resume nor vacancy say, and what no letter has.

:data:`RULES` is the one table. A rule finds parts of the letter; it may find too much, since a
finding only asks for the person's look, and too little: a lie in plain words is not found. A check
takes milliseconds, of letters of any content: every expression reads the letter once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ullgetthejob.letters import claims
from ullgetthejob.letters.facts import Facts
from ullgetthejob.platform.models import Model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from ullgetthejob.hh.models import Vacancy

MAX_LETTER = 10_000  # hh.ru: characters of a message
SHORTEST, LONGEST = 60, 3_000  # characters: a line is no letter, and three pages are not read
MAX_SHOWN = 120  # characters of a finding
MAX_FINDINGS = 50
MIN_LETTERS = 40  # a text with fewer has no language

RuleId = Literal[
    "placeholder", "employer", "vacancy", "number", "skill", "name", "link", "contact",
    "length", "language",
]  # fmt: skip


class Finding(Model):
    """What a rule found in a letter. *text*: the part of the letter, perhaps shortened."""

    rule: RuleId
    text: str = Field(max_length=MAX_SHOWN)
    ru: str
    en: str


@dataclass(frozen=True)
class Rule:
    """A rule: *find* yields the parts of a letter that it is about; *ru* and *en* say why."""

    id: RuleId
    find: Callable[[Facts], Iterable[str]]
    ru: str
    en: str


PLACEHOLDER = re.compile(
    r"\{\{[^{}\n]{0,40}(?:\}\})?|\}\}|\{%[^{}\n]{0,40}%?\}?|%\}"
    r"|\$\{\w{1,40}\}|\{[\w ]{2,40}\}|%[A-Z_]{3,40}%"
    r"|\[[^\]\n]{2,60}\]|<[\w ]{2,40}>|_{3,}|\b(?:X{3,}|TODO|TBD|None|null|NaN|undefined)\b"
    r"|(?i:\blorem ipsum\b|\bназвание (?:вашей )?компании\b|\bваше имя\b|\byour name\b"
    r"|\bcompany name\b|\bимя фамилия\b)"
)
CYRILLIC, LATIN = re.compile("[А-Яа-яЁё]"), re.compile("[A-Za-z]")


def _find_placeholders(facts: Facts) -> Iterable[str]:
    return (match[0] for match in PLACEHOLDER.finditer(facts.letter))


def _find_length(facts: Facts) -> Iterable[str]:
    length = len(facts.letter.strip())
    return [] if SHORTEST <= length <= LONGEST else [f"{length}"]


def _find_language(facts: Facts) -> Iterable[str]:
    """Yield the language of the letter if it is not that of the vacancy's text."""
    own, wanted = _language(facts.letter), _language(facts.written_text)
    return [own] if own and wanted and own != wanted else []


def _language(text: str) -> str:
    """Return ``ru`` or ``en`` by the letters of *text*, empty if it is neither."""
    cyrillic, latin = len(CYRILLIC.findall(text)), len(LATIN.findall(text))
    if cyrillic + latin < MIN_LETTERS:
        return ""
    share = cyrillic / (cyrillic + latin)
    return "ru" if share >= 0.5 else "en" if share <= 0.1 else ""


RULES: tuple[Rule, ...] = (
    Rule("placeholder", _find_placeholders,
         "осталось незаполненное место", "a placeholder is left"),
    Rule("employer", claims.find_employers,
         "этого работодателя нет ни в вакансии, ни в резюме",
         "neither vacancy nor resume name this employer"),
    Rule("vacancy", claims.find_other_vacancies,
         "вакансия называется иначе", "the vacancy has another title"),
    Rule("number", claims.find_numbers,
         "этого числа нет ни в резюме, ни в вакансии",
         "neither resume nor vacancy have this number"),
    Rule("skill", claims.find_skills,
         "этого навыка нет в резюме", "the resume does not have this skill"),
    Rule("name", claims.find_names,
         "в резюме другое имя", "the resume has another name"),
    Rule("link", claims.find_links,
         "этой ссылки нет в резюме", "the resume does not have this link"),
    Rule("contact", claims.find_contacts,
         "этого контакта нет в резюме", "the resume does not have this contact"),
    Rule("length", _find_length,
         f"длина в знаках: нужно от {SHORTEST} до {LONGEST}",
         f"characters: it should have {SHORTEST} to {LONGEST}"),
    Rule("language", _find_language,
         "письмо не на языке вакансии", "the letter is not in the vacancy's language"),
)  # fmt: skip


def check(
    letter: str,
    resume: Mapping[str, Any],
    vacancy: Vacancy,
    *,
    only: frozenset[RuleId] | None = None,
) -> list[Finding]:
    """Return what the rules find in *letter*, each part once, at most :data:`MAX_FINDINGS`.

    *resume*: in hh.ru's shape, in full. *vacancy*: best one that was read in full. *only*: the
    rules of a text that is no letter. Of a letter that hh.ru would refuse as too long only the
    length is found.
    """
    facts = Facts(letter[: MAX_LETTER + 1], resume, vacancy)
    rules = tuple(rule for rule in RULES if only is None or rule.id in only)
    if len(letter) > MAX_LETTER:
        rules = tuple(rule for rule in RULES if rule.id == "length")
    found: dict[tuple[str, str], Finding] = {}
    for rule in rules:
        for part in rule.find(facts):
            text = " ".join(part.split())
            shown = text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"
            key = (rule.id, shown.casefold())
            found.setdefault(key, Finding(rule=rule.id, text=shown, ru=rule.ru, en=rule.en))
            if len(found) >= MAX_FINDINGS:
                return list(found.values())
    return list(found.values())
