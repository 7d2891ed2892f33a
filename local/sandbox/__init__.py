"""A faithful hh.ru for development and tests: its API, limits and faults, and a clock of its own.

Started with ``python -m local.sandbox``. Facts about hh.ru's API come from its public documentation
and from clients that use it; every vacancy, employer and address here is invented.
"""
