"""Vacancies: the world of them, how they are made, searched and shown."""
