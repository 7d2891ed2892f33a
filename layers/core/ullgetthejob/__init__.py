"""UllGetTheJob Core: finds vacancies on hh.ru for a person and applies to them."""
