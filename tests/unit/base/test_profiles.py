"""The one table of profiles agrees with what is built."""

import pytest

from frame_harness.base.profiles import (
    BOTH,
    COVERAGE,
    NAMED_PROFILES,
    PROFILE_USES,
    PROFILES,
    STEERING,
    profiles_named,
)
from frame_harness.image.asked import asked, manifest


def test_the_table_has_the_profiles_of_the_manifest_and_no_other() -> None:
    assert PROFILE_USES.keys() == manifest()["profile"].keys()


@pytest.mark.parametrize("profile", PROFILE_USES)
def test_what_is_asked_of_the_compiler_is_known_of_each(profile: str) -> None:
    assert asked(profile).flags


def test_each_use_has_its_profiles() -> None:
    assert (PROFILES, NAMED_PROFILES) == (("dev", "release"), ("dev", "release", COVERAGE))
    assert (profiles_named(BOTH), profiles_named(STEERING)) == (PROFILES, (STEERING,))
