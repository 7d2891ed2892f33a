"""The displays of ``make run``: events of the demo user, and counters of the functions."""
