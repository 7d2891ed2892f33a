"""Applications: each vacancy once, within hh.ru's limits, and the outcome of each."""
