"""The fields of a resume that a customised CV changes.

Nothing is invented. A new resume is a copy of an existing resume of the person, with its name,
contacts, places, jobs, schools and languages; title, description of the person and skills come from
the CV. The CV's experience and education are prose: hh.ru wants employers, dates and schools, which
only the copy has. ``addedKeywords`` are words of the CV's texts, not skills.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

# hh.ru's limits (GET /resume_conditions).
SHORTEST_TITLE = 2
LONGEST_TITLE = 100
LONGEST_ABOUT = 32_768
MOST_SKILLS = 30
LONGEST_SKILL = 100


def changes(cv: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that *cv* changes, as ``POST`` and ``PUT /resumes`` take them: ``title``,
    ``skills`` (hh.ru: free text about the person) and ``skill_set``; only those that it contains.

    A text longer than hh.ru's limit is cut after the last whole word, paragraph or skill that fits.
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


def free_title(preferred: str, taken: Collection[str]) -> str:
    """Return the *preferred* title, with a number if it is *taken* (hh.ru: no two resumes of a
    person share a title)."""
    used = {_normalise(title) for title in taken}
    title, number = preferred, 1
    while _normalise(title) in used:
        number += 1
        suffix = f" ({number})"
        title = _cut(preferred, LONGEST_TITLE - len(suffix)) + suffix
    return title


def same_title(title: str, other_title: str) -> bool:
    """Return whether hh.ru may regard the titles as equal."""
    return _normalise(title) == _normalise(other_title)


def _normalise(title: str) -> str:
    return " ".join(title.split()).casefold()


def _about(summary: str, projects: str) -> str:
    about = f"{summary}\n\n{projects}".strip()
    return about if len(about) <= LONGEST_ABOUT else _cut(summary or projects, LONGEST_ABOUT)


def _skills(texts: Iterable[str]) -> list[str]:
    """Return each skill once, in its first spelling."""
    found: dict[str, str] = {}
    for text in texts:
        skill = " ".join(text.split())
        if skill and len(skill) <= LONGEST_SKILL:
            found.setdefault(skill.casefold(), skill)
    return list(found.values())[:MOST_SKILLS]


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    start = text[: limit + 1]
    whole_words = start[: max(start.rfind(" "), start.rfind("\n"))] if " " in start.strip() else ""
    return (whole_words or text[:limit]).rstrip()


def _texts(value: Any) -> list[str]:
    return [_text(item) for item in value] if isinstance(value, list) else []


def _text(value: Any) -> str:
    """Return a text that Postgres and hh.ru can hold; empty if *value* is not a text."""
    if not isinstance(value, str):
        return ""
    return value.replace("\0", "").encode("utf-8", "ignore").decode().strip()
