"""Compares what a guest saw of its own code with what was asked of the compiler."""

from __future__ import annotations

from collections.abc import Mapping

from frame_harness.image.asked import asked, on_or_off, told_by_guest
from frame_harness.image.errors import BuildDifference, WrongBuild

NO_FEATURES = "none"


def check_profile(profile: str, banner: Mapping[str, str]) -> None:
    """Require that the code that runs is of a profile.

    Args:
        banner: the words of the guest's banner. It ran code of the crate that the subject is part of: an
            assertion that must fire, a sum that must trap, calls that an optimizer saves.
    Raises:
        WrongBuild: names everything that differs.
        ProtocolError: the banner does not say.
    """
    wanted = asked(profile)
    optimized = wanted.opt_level != "0"
    rows = (
        ("profile", told_by_guest(profile), banner["profile"]),
        ("debug assertions", on_or_off(wanted.checks), on_or_off(banner["assertions"] != "0")),
        ("overflow checks", on_or_off(wanted.checks), on_or_off(banner["overflow"] != "0")),
        ("optimization", on_or_off(optimized), on_or_off(banner["optimized"] != "0")),
        ("CPU features", NO_FEATURES, banner["features"]),
    )
    differences = [BuildDifference(*row) for row in rows if row[1] != row[2]]
    if differences:
        raise WrongBuild(f"code that runs in the guest ({profile})", differences)
