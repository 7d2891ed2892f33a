"""A customised CV, and what of a resume it changes.

Nothing is invented. A new resume is a copy of one that its person has, with name, contacts, places,
jobs, schools and languages as they stand there; over it goes what the CV says of the title, of the
person and of their skills. The CV's experience and education are prose: hh.ru wants employers,
dates and schools, which only the copy has. ``addedKeywords`` are words of its texts, no skills.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

# What hh.ru takes (GET /resume_conditions).
SHORTEST_TITLE = 2
LONGEST_TITLE = 100
LONGEST_ABOUT = 32_768
MOST_SKILLS = 30
LONGEST_SKILL = 100


def changes(cv: Mapping[str, Any]) -> dict[str, Any]:
    """What a resume says by *cv*: ``title``, ``skills`` (hh.ru: free text about the person) and
    ``skill_set`` as ``POST`` and ``PUT /resumes`` take them; without those that it does not tell.

    What is longer than hh.ru takes ends at the last whole word, paragraph or skill that fits.
    """
    title = _cut(" ".join(_text(cv.get("title")).split()), LONGEST_TITLE)
    about = _about(_text(cv.get("summary")), _text(cv.get("projects")))
    skills = _skills([*_texts(cv.get("matchedSkills")), *_texts(cv.get("skills"))])
    found: dict[str, Any] = {}
    if len(title) >= SHORTEST_TITLE:
        found["title"] = title
    if about:
        found["skills"] = about
    if skills:
        found["skill_set"] = skills
    return found


def free_title(wish: str, taken: Collection[str]) -> str:
    """*wish*, with a number if it is *taken* (hh.ru: no two resumes of a person share a title)."""
    used = {_compared(title) for title in taken}
    title, number = wish, 1
    while _compared(title) in used:
        number += 1
        mark = f" ({number})"
        title = _cut(wish, LONGEST_TITLE - len(mark)) + mark
    return title


def same_title(one: str, other: str) -> bool:
    """Whether hh.ru may take them for the same."""
    return _compared(one) == _compared(other)


def _compared(title: str) -> str:
    return " ".join(title.split()).casefold()


def _about(summary: str, projects: str) -> str:
    about = f"{summary}\n\n{projects}".strip()
    return about if len(about) <= LONGEST_ABOUT else _cut(summary or projects, LONGEST_ABOUT)


def _skills(texts: Iterable[str]) -> list[str]:
    """Each once, as it is written first."""
    found: dict[str, str] = {}
    for text in texts:
        skill = " ".join(text.split())
        if skill and len(skill) <= LONGEST_SKILL:
            found.setdefault(skill.casefold(), skill)
    return list(found.values())[:MOST_SKILLS]


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    kept = text[: most + 1]
    whole_words = kept[: max(kept.rfind(" "), kept.rfind("\n"))] if " " in kept.strip() else ""
    return (whole_words or text[:most]).rstrip()


def _texts(value: Any) -> list[str]:
    return [_text(one) for one in value] if isinstance(value, list) else []


def _text(value: Any) -> str:
    """A text that Postgres and hh.ru can hold; empty for what is none."""
    if not isinstance(value, str):
        return ""
    return value.replace("\0", "").encode("utf-8", "ignore").decode().strip()
