"""The three sizes a chapter can run at."""

from __future__ import annotations

from typing import Literal, get_args

from labkit.errors import LabkitError

Profile = Literal["smoke", "laptop", "full"]
PROFILES: tuple[Profile, ...] = get_args(Profile)


def checked_profile(name: str) -> Profile:
    """Return `name` as a profile; raises LabkitError naming the allowed ones."""
    if name not in PROFILES:
        raise LabkitError(f"unknown profile {name!r}; allowed: {', '.join(PROFILES)}")
    return name
