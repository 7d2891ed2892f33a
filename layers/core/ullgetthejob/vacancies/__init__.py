"""Vacancies: search them, show them, keep what was seen."""
