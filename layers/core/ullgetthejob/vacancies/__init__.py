"""Vacancies: searched at hh.ru, shown in full, and stored."""
