"""What the options of ``ugtj`` itself say: the profile, and the client for it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from cli import profiles
from cli.core_api import CoreApi


@dataclass(frozen=True)
class State:
    """What the options of ``ugtj`` itself say."""

    profile_name: str

    @cached_property
    def profile(self) -> profiles.Profile:
        """Return the profile. Raises :class:`~cli.output.CommandError`."""
        return profiles.load(self.profile_name)

    @property
    def core(self) -> CoreApi:
        """Return the client of Core."""
        return CoreApi(self.profile)
