"""An image says the same on a machine that has neither its subject nor its shim in their places."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import msgspec
import pytest

from frame_harness.base import resources
from frame_harness.base.errors import HarnessError
from frame_harness.campaigns.files import keep, known
from frame_harness.campaigns.images import SentImage
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.frame_metadata.subject import frame_module
from frame_harness.guest.ending import shortened
from frame_harness.image.build import build
from frame_harness.image.image import Image

CONSTANT = "FRAME_META_SIZE"
GONE = "/another/machine/frame.rs"


@pytest.fixture(scope="module")
def image() -> Image:
    return build(frame_module(None), "release")


def arrived(sent: SentImage, elf: Path, text: Path | None = None) -> Image:
    """What a worker makes of it."""
    with known({sent.sha256: elf}):
        return sent.image(FRAME_METADATA, text)


@pytest.fixture
def elsewhere(image: Image) -> SentImage:
    """One whose subject lies where this machine has no such file."""
    return msgspec.structs.replace(SentImage.of(image), path=GONE)


def test_a_line_of_the_shim_is_told_by_the_place_where_it_was_compiled(
    image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = image.symbol("kernel_main")[0]
    expected = shortened(str(image.symbolize(at)), image)
    assert "(kernel_shim/src/" in expected
    sent = SentImage.of(image)
    monkeypatch.setattr(resources, "shim_dir", lambda: tmp_path)
    there = arrived(sent, image.elf)
    assert shortened(str(there.symbolize(at)), there) == expected
    own = Image(image.elf, image.sha256, image.profile, image.subject)
    assert shortened(str(own.symbolize(at)), own) != expected, "the folder of this package tells nothing here"


def test_a_declaration_is_found_in_a_copy_of_the_subject(
    image: Image, elsewhere: SentImage, tmp_path: Path
) -> None:
    place = image.item_line(CONSTANT)
    assert place is not None
    copy = tmp_path / "copy.rs"
    shutil.copy(image.subject.path, copy)
    assert arrived(elsewhere, image.elf, copy).item_line(CONSTANT) == (GONE, place[1])
    assert arrived(elsewhere, image.elf).item_line(CONSTANT) is None


def test_a_copy_of_another_text_is_not_believed(image: Image, elsewhere: SentImage, tmp_path: Path) -> None:
    copy = tmp_path / "copy.rs"
    copy.write_bytes(b"\n" + image.subject.path.read_bytes())
    assert arrived(elsewhere, image.elf, copy).item_line(CONSTANT) is None


@pytest.mark.parametrize("name", ["../../evil", "/etc/evil", "..", ""])
def test_a_file_of_another_machine_cannot_lie_elsewhere(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRAME_HARNESS_CACHE", str(tmp_path / "builds" / "deep"))
    with pytest.raises(HarnessError, match="expected the name of a file"):
        keep(hashlib.sha256(b"x").hexdigest(), name, b"x")
    assert not [one for one in tmp_path.rglob("*") if one.is_file()]
