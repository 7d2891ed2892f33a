"""A faithful hh.ru for development and tests: its API, its limits, its faults, its clock.

Started as ``python -m local.sandbox``. Facts about hh.ru's wire come from its public documentation
and from clients that talk to it; every vacancy, employer and address here is invented.
"""
