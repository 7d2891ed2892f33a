"""Which resume a new one is a copy of."""

from types import SimpleNamespace

import pytest

from ullgetthejob.applications.resume_selection import ResumeNotFound, select_source

VACANCY = SimpleNamespace(name="Водитель погрузчика", key_skills=["Погрузка"])


def resume(id, title, *, status="published", **fields):
    return {"id": id, "title": title, "status": {"id": status}, "updated_at": id, **fields}


DRIVER = resume("1", "Водитель")
COOK = resume("2", "Повар")
DRAFT = resume("3", "Водитель погрузчика", status="not_published")
BLOCKED = resume("4", "Водитель погрузчика", blocked=True)


def source(*resumes, wanted=None):
    skills = {"1": {"skill_set": ["погрузка"]}}
    return select_source(resumes, VACANCY, wanted=wanted, read=lambda id: skills.get(id, {}))["id"]


def test_it_is_the_published_one_that_fits_best():
    assert source(COOK, DRIVER, DRAFT, BLOCKED) == "1"


def test_one_that_is_not_published_will_do_where_no_other_is():
    assert source(BLOCKED, DRAFT) == "3"


def test_it_is_the_one_that_was_asked_for_published_or_not():
    assert source(DRIVER, DRAFT, wanted="3") == "3"


@pytest.mark.parametrize("wanted", ["4", "9"])
def test_one_that_is_blocked_or_not_there_is_not_replaced_by_another(wanted):
    with pytest.raises(ResumeNotFound) as raised:
        source(DRIVER, BLOCKED, wanted=wanted)
    assert raised.value.reason == "resume_not_available"


@pytest.mark.parametrize("resumes", [(), (BLOCKED,)])
def test_without_any_there_is_nothing_to_copy(resumes):
    with pytest.raises(ResumeNotFound) as raised:
        source(*resumes)
    assert raised.value.reason == "missing_resume_id"
