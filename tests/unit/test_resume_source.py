"""Selection of the resume that a new one is a copy of."""

from types import SimpleNamespace

import pytest

from ullgetthejob.applications.resume_selection import ResumeNotFound, select_source

VACANCY = SimpleNamespace(name="Водитель погрузчика", key_skills=["Погрузка"])


def resume(resume_id, title, *, status="published", **fields):
    published = {"id": resume_id, "title": title, "status": {"id": status}}
    return {**published, "updated_at": resume_id, **fields}


DRIVER = resume("1", "Водитель")
COOK = resume("2", "Повар")
DRAFT = resume("3", "Водитель погрузчика", status="not_published")
BLOCKED = resume("4", "Водитель погрузчика", blocked=True)


def source(*resumes, wanted=None):
    skills = {"1": {"skill_set": ["погрузка"]}}
    return select_source(
        resumes, VACANCY, wanted=wanted, read=lambda resume_id: skills.get(resume_id, {})
    )["id"]


def test_source_is_best_published_resume():
    assert source(COOK, DRIVER, DRAFT, BLOCKED) == "1"


def test_source_is_draft_without_published_resume():
    assert source(BLOCKED, DRAFT) == "3"


def test_source_is_wanted_resume_even_as_draft():
    assert source(DRIVER, DRAFT, wanted="3") == "3"


@pytest.mark.parametrize("wanted", ["4", "9"])
def test_blocked_or_missing_wanted_resume_is_refused(wanted):
    with pytest.raises(ResumeNotFound) as raised:
        source(DRIVER, BLOCKED, wanted=wanted)
    assert raised.value.reason == "resume_not_available"


@pytest.mark.parametrize("resumes", [(), (BLOCKED,)])
def test_source_without_usable_resume_is_refused(resumes):
    with pytest.raises(ResumeNotFound) as raised:
        source(*resumes)
    assert raised.value.reason == "missing_resume_id"
