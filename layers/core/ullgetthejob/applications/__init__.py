"""Applications: each vacancy once, within hh.ru's limits, and what became of it."""
