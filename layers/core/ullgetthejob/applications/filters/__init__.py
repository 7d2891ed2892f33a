"""Filters: the vacancies that a person does not want to apply to, as rules of the account."""
