"""The fields of a resume that a customised CV changes."""

import pytest

from ullgetthejob.hh import resume_fields


def test_only_title_text_and_skills_are_taken():
    assert resume_fields.changes(
        {
            "firstName": "Пётр",
            "lastName": "Чужой",
            "email": "p@example.org",
            "phone": "+79990000000",
            "title": "  Python-\n разработчик ",
            "summary": "Пишу сервисы.",
            "experience": "2019-2024, «Ромашка»",
            "education": "МГУ",
            "projects": "Планировщик задач",
            "birthDate": "1990-01-01",
            "area": "Москва",
            "skills": ["Python", "PostgreSQL"],
            "matchedSkills": ["postgresql", "Docker"],
            "addedKeywords": ["Kubernetes"],
        }
    ) == {
        "title": "Python- разработчик",
        "skills": "Пишу сервисы.\n\nПланировщик задач",
        "skill_set": ["postgresql", "Docker", "Python"],
    }


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"title": "x", "summary": " ", "skills": []},
        {"title": None, "summary": None, "skills": None},
        {"title": 5, "summary": ["a"], "skills": "Python", "matchedSkills": [None, 7, ""]},
    ],
)
def test_missing_fields_of_the_cv_are_not_changed(given):
    assert resume_fields.changes(given) == {}


def test_projects_are_the_text_without_a_summary():
    assert resume_fields.changes({"projects": "Планировщик"}) == {"skills": "Планировщик"}


def test_fields_are_cut_to_hh_rus_limits():
    found = resume_fields.changes(
        {
            "title": "Инженер " * 20,
            "summary": "слово " * 10_000,
            "projects": "Планировщик",
            "skills": ["y" * 101, *(f"навык {number}" for number in range(40))],
        }
    )
    assert found["title"] == ("Инженер " * 12).strip()
    assert len(found["skills"]) <= resume_fields.LONGEST_ABOUT
    assert found["skills"].endswith("слово")
    assert found["skill_set"] == [f"навык {number}" for number in range(30)]
    assert resume_fields.changes({"title": "ы" * 150}) == {"title": "ы" * 100}


def test_projects_are_left_out_if_both_are_too_long():
    summary = "а" * resume_fields.LONGEST_ABOUT
    assert resume_fields.changes({"summary": summary, "projects": "б"}) == {"skills": summary}


def test_unstorable_characters_are_left_out():
    assert resume_fields.changes({"title": "Py\0thon \ud800"}) == {"title": "Python"}


@pytest.mark.parametrize(
    ("taken", "title"),
    [
        ([], "Повар"),
        (["Официант"], "Повар"),
        (["Повар"], "Повар (2)"),
        ([" ПОВАР", "Повар  (2)"], "Повар (3)"),
    ],
)
def test_taken_title_gets_a_number(taken, title):
    assert resume_fields.free_title("Повар", taken) == title


def test_long_title_with_a_number_fits():
    long = "ы" * 100
    title = resume_fields.free_title(long, [long])
    assert (len(title), title[-5:]) == (100, "ы (2)")
