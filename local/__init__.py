"""The cloud on a laptop: AWS for the template, and hh.ru's sandbox for Core. Never deployed."""

import sys
from pathlib import Path

# The package in its layer's folder: commands run from a clone, in which it is not installed.
_CORE = str(Path(__file__).parents[1] / "layers" / "core")
if _CORE not in sys.path:
    sys.path.append(_CORE)
