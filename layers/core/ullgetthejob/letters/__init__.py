"""Letters that invent nothing: templates that a person writes, and a check of any letter.

:func:`render` fills a template with what resume and vacancy say; :func:`check` finds what neither
of them says. Both are pure functions.
"""

from ullgetthejob.letters.checking import check
from ullgetthejob.letters.rendering import render

__all__ = ["check", "render"]
