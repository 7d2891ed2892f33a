"""Order the labelled pairs of ``fit_pairs.toml`` by fit, by publication date and by counting common
words, and measure fits per second (make bench-fit). ``--write`` puts the figures into docs/fit.md.

Two figures a method, means over the resumes: nDCG@10 (Järvelin and Kekäläinen, 2002; gain
2^label-1) and concordance, the share of pairs of vacancies with different labels that are in the
right order (a tie counts half).
"""

from __future__ import annotations

import math
import re
import sys
import time
import tomllib
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from ullgetthejob.fit import words
from ullgetthejob.fit.profile import profile_of
from ullgetthejob.fit.scoring import score
from ullgetthejob.hh import responses

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ullgetthejob.hh.models import VacancyDetail

    Method = Callable[[dict[str, Any], VacancyDetail], float]

ROOT = Path(__file__).parents[1]
PAIRS = Path(__file__).with_name("fit_pairs.toml")
DOCUMENT = ROOT / "docs" / "fit.md"
MARKS = ("<!-- figures: make bench-fit -->", "<!-- end of figures -->")
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
AREAS = {"1": "Москва", "2": "Санкт-Петербург", "3": "Екатеринбург", "88": "Казань"}
EXPERIENCE = {
    "noExperience": "Нет опыта",
    "between1And3": "От 1 года до 3 лет",
    "between3And6": "От 3 до 6 лет",
    "moreThan6": "Более 6 лет",
}
PARTS = {"tune": "looked at while weights were made", "held_out": "held out"}
DEPTH = 10


def load() -> dict[str, Any]:
    """Return the file: ``resume`` and ``vacancy``, lists of the short forms."""
    return tomllib.loads(PAIRS.read_text())


def resume_of(short: Mapping[str, Any]) -> dict[str, Any]:
    """Return a resume in hh.ru's shape."""
    return {
        "id": short["id"],
        "title": short["title"],
        "professional_roles": [{"id": role} for role in short["roles"]],
        "area": {"id": short["area"], "name": AREAS[short["area"]]},
        "total_experience": {"months": short["months"]},
        "salary": {"amount": short["salary"], "currency": "RUR"},
        "work_format": [{"id": work_format} for work_format in short["formats"]],
        "skill_set": short["skills"],
        "skills": short["about"],
        "experience": [
            {"position": position, "description": text, "company": "Прежняя работа"}
            for position, text in short["jobs"]
        ],
    }


def vacancy_of(number: int, short: Mapping[str, Any]) -> VacancyDetail:
    """Return a vacancy as the client of hh.ru reads its body."""
    lower, upper = short["salary"]
    published = NOW - timedelta(days=short["age"], hours=1, minutes=number)
    return responses.vacancy_detail(
        {
            "id": str(number + 1),
            "name": short["title"],
            "area": {"id": short["area"], "name": AREAS[short["area"]]},
            "employer": {"id": str(number), "name": short["employer"]},
            "salary": {"from": lower, "to": upper, "currency": "RUR", "gross": True}
            if upper
            else None,
            "type": {"id": "open", "name": "Открытая"},
            "experience": {"id": short["experience"], "name": EXPERIENCE[short["experience"]]},
            "work_format": [{"id": work_format} for work_format in short["formats"]],
            "professional_roles": [{"id": short["role"]}] if "role" in short else [],
            "published_at": published.isoformat(),
            "description": f"<p>{short['text']}</p>",
            "key_skills": [{"name": skill} for skill in short["skills"]],
        }
    )


def by_fit(resume: dict[str, Any], vacancy: VacancyDetail) -> float:
    """Return the score; equal ones are ordered by their unrounded points."""
    return sum(reason.points for reason in score(resume, vacancy, now=NOW).reasons)


def by_date(resume: dict[str, Any], vacancy: VacancyDetail) -> float:  # noqa: ARG001
    """Return the time of publication: the newest first, as hh.ru shows them."""
    published: datetime = vacancy.published_at
    return published.timestamp()


def by_common_words(resume: dict[str, Any], vacancy: VacancyDetail) -> float:
    """Return how many different words both texts have, in any form, without stop words."""
    jobs = (f"{job['position']} {job['description']}" for job in resume["experience"])
    own = " ".join([resume["title"], *resume["skill_set"], resume["skills"], *jobs])
    other = " ".join([vacancy.name, *vacancy.key_skills, vacancy.description])
    return len(_content_words(own) & _content_words(other))


def _content_words(text: str) -> set[str]:
    ignored = set(words.words_of(" ".join(words.STOP_WORDS)))
    return {word for word in words.words_of(text) if word not in ignored and len(word) > 1}


METHODS: dict[str, Method] = {
    "fit": by_fit,
    "common words": by_common_words,
    "publication date": by_date,
}


def gain(labels: list[int]) -> float:
    """Return the discounted gain of *labels*, in their order."""
    return sum(
        (2.0**label - 1) / math.log2(place + 2) for place, label in enumerate(labels[:DEPTH])
    )


def concordance(scored: list[tuple[float, int]]) -> float:
    """Return the share of pairs with different labels that are in the right order."""
    right = [
        0.5 if one[0] == two[0] else float((one[0] > two[0]) == (one[1] > two[1]))
        for one, two in combinations(scored, 2)
        if one[1] != two[1]
    ]
    return mean(right)


def measure() -> dict[str, dict[str, tuple[float, float]]]:
    """Return nDCG and concordance of each method, by part of the pairs."""
    pairs = load()
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for part in PARTS:
        vacancies = [
            (short["id"], vacancy_of(number, short))
            for number, short in enumerate(pairs["vacancy"])
            if short["part"] == part
        ]
        resumes = [short for short in pairs["resume"] if short["part"] == part]
        found[part] = {}
        for name, method in METHODS.items():
            orders = []
            for short in resumes:
                resume = resume_of(short)
                scored = [
                    (method(resume, vacancy), short["labels"].get(vacancy_id, 0))
                    for vacancy_id, vacancy in vacancies
                ]
                labels = [label for _, label in sorted(scored, key=lambda pair: -pair[0])]
                ideal = gain(sorted(labels, reverse=True))
                orders.append((gain(labels) / ideal, concordance(scored)))
            found[part][name] = (
                mean(order[0] for order in orders),
                mean(order[1] for order in orders),
            )
    return found


def table(figures: dict[str, dict[str, tuple[float, float]]]) -> str:
    """Return the figures as a table in Markdown."""
    pairs = load()
    lines = []
    for part, meaning in PARTS.items():
        resumes = sum(short["part"] == part for short in pairs["resume"])
        vacancies = sum(short["part"] == part for short in pairs["vacancy"])
        lines += [
            f"{meaning.capitalize()}: {resumes} resumes, {vacancies} vacancies, "
            f"{resumes * vacancies} pairs.",
            "",
            "| ordered by | nDCG@10 | pairs in the right order |",
            "|---|---|---|",
        ]
        lines += [
            f"| {name} | {ndcg:.2f} | {right:.1%} |"
            for name, (ndcg, right) in figures[part].items()
        ]
        lines.append("")
    return "\n".join(lines)


def fits_per_second() -> tuple[float, float]:
    """Return fits per second of processor time, with unseen words, and with words seen before."""
    pairs = load()
    profiles = [profile_of(resume_of(short)) for short in pairs["resume"]]
    # A real description has about 2,000 characters.
    longer = [{**short, "text": (short["text"] + " ") * 12} for short in pairs["vacancy"]]
    vacancies = [vacancy_of(number, short) for number, short in enumerate(longer)]
    rates = []
    for _ in range(2):
        begin = time.process_time()
        for own in profiles:
            for vacancy in vacancies:
                score(own, vacancy, now=NOW)
        rates.append(len(profiles) * len(vacancies) / (time.process_time() - begin))
    return rates[0], rates[1]


def written(document: str, figures: str) -> str:
    """Return the text of docs/fit.md with these figures."""
    begin, end = MARKS
    return re.sub(
        f"{begin}.*?{end}", lambda _: f"{begin}\n{figures}{end}", document, flags=re.DOTALL
    )


def main() -> None:
    """Print the figures; with ``--write`` also put them into the document."""
    figures = table(measure())
    print(figures)
    first, second = fits_per_second()
    print(f"{first:,.0f} fits a second of processor time, {second:,.0f} with words seen before")
    if "--write" in sys.argv:
        DOCUMENT.write_text(written(DOCUMENT.read_text(), figures))
    if "--show" in sys.argv:
        show(sys.argv[sys.argv.index("--show") + 1])


def show(part: str) -> None:
    """Print the order of each resume of *part*, with scores and labels."""
    pairs = load()
    for short in pairs["resume"]:
        if short["part"] != part:
            continue
        print(f"\n{short['title']}")
        scored = [
            (by_fit(resume_of(short), vacancy_of(number, vacancy)), vacancy)
            for number, vacancy in enumerate(pairs["vacancy"])
            if vacancy["part"] == part
        ]
        for points, vacancy in sorted(scored, key=lambda pair: -pair[0])[:DEPTH]:
            label = short["labels"].get(vacancy["id"], 0)
            print(f"  {points:5.1f}  {label}  {vacancy['title']}")


if __name__ == "__main__":
    main()
