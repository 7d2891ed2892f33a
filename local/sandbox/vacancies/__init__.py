"""Vacancies: the generated world, publishing, search, and hh.ru's JSON."""
