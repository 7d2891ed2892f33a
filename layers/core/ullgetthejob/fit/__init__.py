"""Fit: how well a resume fits a vacancy, from 0 to 100, with the reasons in words.

:func:`score` is a pure function of a resume, a vacancy, weights and a time; nothing is guessed that
neither of the two says.
"""

from ullgetthejob.fit.scoring import score

__all__ = ["score"]
