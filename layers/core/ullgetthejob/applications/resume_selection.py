"""Selection of the resume that is sent to an employer, with the reason of the choice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ullgetthejob.platform import russian_text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ullgetthejob.hh.models import VacancyDetail

MAX_RESUMES_READ = 5
ASKED_FOR = "asked_for"


class ResumeNotFound(Exception):
    """No resume can be sent. *reason*: ``resume_not_available`` or ``missing_resume_id``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class ResumeChoice:
    """A resume and the reason of the choice: ``asked_for``, ``only_one``, ``best_title``,
    ``best_skills``, ``newest``, or ``made`` for this application (:mod:`.resume_creation`)."""

    resume_id: str
    reason: str


def select_resume(
    resumes: Collection[dict[str, Any]],
    vacancy: VacancyDetail,
    *,
    wanted: str | None,
    read: Callable[[str], dict[str, Any]],
) -> ResumeChoice:
    """Return the *wanted* resume, else the published one that fits best by its title, among equals
    by its skills, among equals the newest.

    *resumes*: hh.ru's ``/resumes/mine``; *read* returns a resume in full, with its skills. hh.ru:
    only a published resume can be sent. Raises :class:`ResumeNotFound`.
    """
    published = [resume for resume in resumes if is_published(resume) and not resume.get("blocked")]
    if wanted is not None:
        if any(resume["id"] == wanted for resume in published):
            return ResumeChoice(wanted, ASKED_FOR)
        raise ResumeNotFound("resume_not_available")
    if not published:
        raise ResumeNotFound("missing_resume_id")
    return _select_best(published, vacancy, read)


def select_source(
    resumes: Collection[dict[str, Any]],
    vacancy: VacancyDetail,
    *,
    wanted: str | None,
    read: Callable[[str], dict[str, Any]],
) -> dict[str, Any]:
    """Return the resume to copy for a new one: as :func:`select_resume`, but an unpublished one
    where none is published. Raises :class:`ResumeNotFound`."""
    usable = {resume["id"]: resume for resume in resumes if not resume.get("blocked")}
    if wanted is not None:
        if wanted in usable:
            return usable[wanted]
        raise ResumeNotFound("resume_not_available")
    if not usable:
        raise ResumeNotFound("missing_resume_id")
    published = [resume for resume in usable.values() if is_published(resume)]
    return usable[_select_best(published or list(usable.values()), vacancy, read).resume_id]


def _select_best(
    resumes: list[dict[str, Any]], vacancy: VacancyDetail, read: Callable[[str], dict[str, Any]]
) -> ResumeChoice:
    if len(resumes) == 1:
        return ResumeChoice(resumes[0]["id"], "only_one")
    title_fit = {
        resume["id"]: _count_shared_words(vacancy.name, resume.get("title") or "")
        for resume in resumes
    }
    best = [resume for resume in resumes if title_fit[resume["id"]] == max(title_fit.values())]
    if len(best) == 1:
        return ResumeChoice(best[0]["id"], "best_title")
    best.sort(key=lambda resume: str(resume.get("updated_at") or ""), reverse=True)
    best = best[:MAX_RESUMES_READ]
    skills = {russian_text.canonical_words(skill) for skill in vacancy.key_skills}
    skill_fit = {resume["id"]: len(skills & _skills(read(resume["id"]))) for resume in best}
    top = [resume for resume in best if skill_fit[resume["id"]] == max(skill_fit.values())]
    return ResumeChoice(top[0]["id"], "best_skills" if len(top) == 1 else "newest")


def is_published(resume: dict[str, Any]) -> bool:
    """Return whether hh.ru's *resume* is published."""
    status = resume.get("status")
    return isinstance(status, dict) and status.get("id") == "published"


def _skills(resume: dict[str, Any]) -> set[tuple[str, ...]]:
    return {russian_text.canonical_words(str(skill)) for skill in resume.get("skill_set") or ()}


def _count_shared_words(text: str, searched: str) -> int:
    """Return how many words of *text* are in *searched*, in any form; single letters do not
    count."""
    keys = frozenset[str]().union(*_word_keys(searched))
    return sum(1 for word_keys in _word_keys(text) if word_keys & keys)


def _word_keys(text: str) -> set[frozenset[str]]:
    """Return the keys of each word of more than one letter."""
    return {
        russian_text.keys_of(word.text)
        for word in russian_text.words_of(text)
        if len(word.text) > 1
    }
