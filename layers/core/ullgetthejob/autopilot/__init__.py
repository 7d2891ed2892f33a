"""Autopilots: the vacancies that a saved search finds are applied to, within its ceilings."""
