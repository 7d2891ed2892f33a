"""The cloud on a laptop: what AWS is to the template, and what hh.ru is to Core. Never deployed."""

import sys
from pathlib import Path

# The package as it lies in its layer: commands are run from a clone, where nothing is installed.
_CORE = str(Path(__file__).parents[1] / "layers" / "core")
if _CORE not in sys.path:
    sys.path.append(_CORE)
