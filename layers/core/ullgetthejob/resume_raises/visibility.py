"""Which employers see a resume, and why not all of them. Pure functions of hh.ru's answers.

hh.ru (docs/resumes.md): a resume is seen once it is published, while it is neither blocked nor at
the moderators', by those whom its access allows.
"""

from __future__ import annotations

from typing import Any, Literal

from ullgetthejob.resume_raises.models import Reason, Visibility

MAX_NOTES = 20
MAX_NOTE_CHARS = 300

# By the code of the reason: what a person reads, in Russian and in English.
TEXTS: dict[str, tuple[str, str]] = {
    "not_published": (
        "Резюме не опубликовано: опубликуйте его на hh.ru",
        "The resume is not published: publish it on hh.ru",
    ),
    "blocked": (
        "hh.ru заблокировал резюме: исправьте то, что отметили модераторы",
        "hh.ru has blocked the resume: correct what its moderators note",
    ),
    "on_moderation": (
        "Резюме на проверке у модераторов hh.ru: дождитесь её окончания",
        "hh.ru's moderators look at the resume: wait until they are done",
    ),
    "resume_incomplete": (
        "В резюме не хватает обязательных полей: заполните их на hh.ru",
        "The resume lacks mandatory fields: complete them on hh.ru",
    ),
    "hidden_from_all": (
        "Резюме не видно никому, кроме тех, кому вы откликаетесь: измените видимость на hh.ru",
        "Nobody sees the resume but those whom you apply to: change its visibility on hh.ru",
    ),
    "by_link_only": (
        "Резюме видно только по прямой ссылке: измените видимость на hh.ru",
        "The resume is seen by its direct link alone: change its visibility on hh.ru",
    ),
    "chosen_companies": (
        "Резюме видно только выбранным компаниям",
        "The resume is seen by the chosen companies alone",
    ),
    "some_companies_excluded": (
        "Резюме скрыто от выбранных компаний",
        "The resume is hidden from the chosen companies",
    ),
}
STATUSES = {
    "not_published": "not_published",
    "blocked": "blocked",
    "on_moderation": "on_moderation",
}
# By hh.ru's access type; all employers see one of another type, such as "clients".
ACCESS: dict[str, tuple[Literal["some", "none"], str]] = {
    "no_one": ("none", "hidden_from_all"),
    "direct": ("none", "by_link_only"),
    "whitelist": ("some", "chosen_companies"),
    "blacklist": ("some", "some_companies_excluded"),
}


def status_of(resume: dict[str, Any]) -> str:
    """Return hh.ru's status of a resume: ``published`` and others; empty if it gives none."""
    return str(_id_of(resume.get("status")) or "")


def is_unseen(resume: dict[str, Any]) -> bool:
    """Return whether its status hides a resume from every employer, so that hh.ru's notes on it,
    which only the whole resume has, are worth reading."""
    return status_of(resume) in STATUSES or bool(resume.get("blocked"))


def describe(resume: dict[str, Any]) -> Visibility:
    """Return which employers see a resume of hh.ru's shape; of one in full with hh.ru's notes."""
    reasons: list[Reason] = []
    code = "blocked" if resume.get("blocked") else STATUSES.get(status_of(resume))
    if code is not None:
        notes = _names(resume.get("moderation_note")) if code == "blocked" else []
        reasons.append(_reason(code, notes))
    missing = _names(_dict(resume.get("progress")).get("mandatory"))
    if missing or (code == "not_published" and resume.get("finished") is False):
        reasons.append(_reason("resume_incomplete", missing))
    access_type = str(_id_of(_dict(resume.get("access")).get("type")) or "")
    seen_by, access = ACCESS.get(access_type, ("all", None))
    if access is not None:
        reasons.append(_reason(access))
    return Visibility(seen_by="none" if code is not None else seen_by, reasons=reasons)


def _reason(code: str, notes: list[str] | None = None) -> Reason:
    ru, en = TEXTS[code]
    return Reason(code=code, ru=ru, en=en, notes=notes or [])


def _names(entries: Any) -> list[str]:
    """Return the names of hh.ru's ``[{"id", "name"}]``, bounded."""
    listed = entries if isinstance(entries, list) else []
    names = [entry.get("name") for entry in listed if isinstance(entry, dict)]
    return [name[:MAX_NOTE_CHARS] for name in names if isinstance(name, str)][:MAX_NOTES]


def _id_of(reference: Any) -> Any:
    return _dict(reference).get("id")


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
