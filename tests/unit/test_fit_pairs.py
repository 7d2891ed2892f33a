"""The labelled pairs: fit orders them better than baselines do, and docs/fit.md has the figures."""

import pytest

from benchmarks import fit


@pytest.fixture(scope="module")
def figures():
    return fit.measure()


@pytest.mark.parametrize("part", fit.PARTS)
@pytest.mark.parametrize("baseline", ["common words", "publication date"])
def test_fit_orders_pairs_better_than_the_baselines(figures, part, baseline):
    for mine, theirs in zip(figures[part]["fit"], figures[part][baseline], strict=True):
        assert mine > theirs


def test_document_has_the_figures(figures):
    document = fit.DOCUMENT.read_text()
    assert fit.written(document, fit.table(figures)) == document


def test_labels_name_vacancies_of_their_own_part():
    pairs = fit.load()
    parts = {short["id"]: short["part"] for short in pairs["vacancy"]}
    assert len(parts) == len(pairs["vacancy"])
    for resume in pairs["resume"]:
        assert {parts[vacancy_id] for vacancy_id in resume["labels"]} == {resume["part"]}
        assert set(resume["labels"].values()) <= {0, 1, 2, 3}
