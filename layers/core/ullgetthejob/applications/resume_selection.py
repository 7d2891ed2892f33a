"""Which of the person's resumes goes to an employer, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ullgetthejob.platform import russian_text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ullgetthejob.hh.models import VacancyDetail

MAX_RESUMES_READ = 5


class ResumeNotFound(Exception):
    """None can be sent; *reason* is a snake_case word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class ResumeChoice:
    """A resume, and why it: ``asked_for``, ``only_one``, ``best_title``, ``best_skills``,
    ``newest``, or ``made`` for this very application (:mod:`.new_resume`)."""

    resume_id: str
    reason: str


def select_resume(
    resumes: Collection[dict[str, Any]],
    vacancy: VacancyDetail,
    *,
    wanted: str | None,
    read: Callable[[str], dict[str, Any]],
) -> ResumeChoice:
    """The resume that was asked for, else the published one that fits best by its title, among
    equals by its skills, among equals the newest.

    *resumes*: hh.ru's ``/resumes/mine``; *read* gives one in full, with its skills. hh.ru: only a
    published resume can be sent. Raises :class:`NoResume`.
    """
    published = [one for one in resumes if is_published(one) and not one.get("blocked")]
    if wanted is not None:
        if any(one["id"] == wanted for one in published):
            return ResumeChoice(wanted, "asked_for")
        raise ResumeNotFound("resume_not_available")
    if not published:
        raise ResumeNotFound("missing_resume_id")
    return _best(published, vacancy, read)


def select_source(
    resumes: Collection[dict[str, Any]],
    vacancy: VacancyDetail,
    *,
    wanted: str | None,
    read: Callable[[str], dict[str, Any]],
) -> dict[str, Any]:
    """The resume that a new one is a copy of: as :func:`choose`, but one that is not published
    will do where no other is."""
    usable = {one["id"]: one for one in resumes if not one.get("blocked")}
    if wanted is not None:
        if wanted in usable:
            return usable[wanted]
        raise ResumeNotFound("resume_not_available")
    if not usable:
        raise ResumeNotFound("missing_resume_id")
    published = [one for one in usable.values() if is_published(one)]
    return usable[_best(published or list(usable.values()), vacancy, read).resume_id]


def _best(
    resumes: list[dict[str, Any]], vacancy: VacancyDetail, read: Callable[[str], dict[str, Any]]
) -> ResumeChoice:
    if len(resumes) == 1:
        return ResumeChoice(resumes[0]["id"], "only_one")
    fit = {one["id"]: _shared_words(vacancy.name, one.get("title") or "") for one in resumes}
    best = [one for one in resumes if fit[one["id"]] == max(fit.values())]
    if len(best) == 1:
        return ResumeChoice(best[0]["id"], "best_title")
    best.sort(key=lambda one: str(one.get("updated_at") or ""), reverse=True)
    skills = {russian_text.canonical_words(skill) for skill in vacancy.key_skills}
    shared = {one["id"]: len(skills & _skills(read(one["id"]))) for one in best[:MAX_RESUMES_READ]}
    top = [one for one in best[:MAX_RESUMES_READ] if shared[one["id"]] == max(shared.values())]
    return ResumeChoice(top[0]["id"], "best_skills" if len(top) == 1 else "newest")


def is_published(resume: dict[str, Any]) -> bool:
    """Whether hh.ru's *resume* is published."""
    status = resume.get("status")
    return isinstance(status, dict) and status.get("id") == "published"


def _skills(resume: dict[str, Any]) -> set[tuple[str, ...]]:
    return {russian_text.canonical_words(str(skill)) for skill in resume.get("skill_set") or ()}


def _shared_words(one: str, other: str) -> int:
    """Return how many words of *one* are in *other*, in any form; single letters do not count."""
    keys = frozenset[str]().union(*(_keys(other)))
    return sum(1 for each in _keys(one) if each & keys)


def _keys(text: str) -> set[frozenset[str]]:
    return {
        russian_text.keys_of(word.text)
        for word in russian_text.words_of(text)
        if len(word.text) > 1
    }
