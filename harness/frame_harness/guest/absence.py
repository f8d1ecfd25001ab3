"""Keeps a guest from being asked for what its version of the frame module does not have."""

from __future__ import annotations

from collections.abc import Collection

from frame_harness.contract.requests import commands_of
from frame_harness.contract.versions import lacking
from frame_harness.guest.errors import NotInThisVersion
from frame_harness.image.image import Image


def require_names(image: Image, names: Collection[str], what: str) -> None:
    """Go on only where an image's version of the frame module has all of some names.

    Args:
        what: needs them.
    Raises:
        NotInThisVersion: it lacks one.
    """
    if lacks := lacking(names, image.lacks):
        raise NotInThisVersion(lacks, what)


def require_names_of(image: Image, line: str) -> None:
    """Do the same for the names that the guest uses for a console command, or for a batch of them.

    Raises:
        NotInThisVersion: the version lacks one.
    """
    if not image.lacks:
        return
    for command in commands_of(line):
        require_names(image, image.subject.contract.versions.of_line(command), f"`{command}`")
