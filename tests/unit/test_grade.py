"""Grades of openings, by either of hh.ru's dictionaries."""

import pytest

from ullgetthejob.vacancies.grade import Grade, stored_grade

ROW = {"experience": None, "employment": None, "schedule": None, "formats": None, "salary": None}


def grade(**columns):
    return stored_grade({**ROW, **columns})


@pytest.mark.parametrize(
    ("older", "newer"),
    [("full", "FULL"), ("part", "PART"), ("project", "PROJECT"), ("volunteer", "FULL")],
)
def test_older_employment_equals_the_newer_form(older, newer):
    assert not grade(employment=older).differs_from(grade(employment=newer))


def test_other_employment_differs_in_either_dictionary():
    assert grade(employment="part").differs_from(grade(employment="FULL"))
    assert grade(employment="part").differs_from(grade(employment="full"))


def test_remote_schedule_equals_the_remote_work_format():
    remote = grade(schedule="remote")
    assert not remote.differs_from(grade(formats=[{"id": "REMOTE"}]))
    assert remote.differs_from(grade(formats=[{"id": "ON_SITE"}]))
    assert grade(schedule="remote", formats=[{"id": "HYBRID"}]).formats == {"HYBRID"}


def test_schedule_without_a_place_is_no_difference():
    assert grade(schedule="fullDay") == Grade()


@pytest.mark.parametrize("amount", [0, 100])
def test_same_salary_is_no_difference(amount):
    salary = {"lower": amount, "upper": 90_000, "currency": "RUR", "mode": "MONTH"}
    assert not grade(salary=salary).differs_from(grade(salary=salary))


def test_salaries_of_two_modes_are_not_compared():
    hourly = {"lower": 500, "currency": "RUR", "mode": "HOUR"}
    monthly = {"lower": 80_000, "currency": "RUR", "mode": "MONTH"}
    assert not grade(salary=hourly).differs_from(grade(salary=monthly))
    assert grade(salary={**hourly, "mode": "MONTH"}).differs_from(grade(salary=monthly))
