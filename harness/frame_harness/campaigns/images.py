"""A built kernel on its way to a worker, which has neither its subject nor its shim in any place."""

from __future__ import annotations

from pathlib import Path

from frame_harness.base.record import Record
from frame_harness.campaigns.files import path_of
from frame_harness.contract.contract import Contract
from frame_harness.image.image import Image
from frame_harness.image.store import built_name
from frame_harness.image.subject import Subject


class SentImage(Record, frozen=True, kw_only=True):
    """All of an image but the bytes of its ELF, which are found by their hash."""

    sha256: str
    profile: str
    lacks: tuple[str, ...]
    sources: tuple[tuple[str, str], ...]
    path: str
    subject: str
    subject_sha256: str
    parts: tuple[str, ...]
    features: tuple[str, ...]
    digests: tuple[str, ...]
    shim: str

    @classmethod
    def of(cls, image: Image) -> SentImage:
        """Take apart an image; the plan of the campaign has to name `image.elf` among its files."""
        subject = image.subject
        return cls(
            sha256=image.sha256, profile=image.profile, lacks=image.lacks, sources=image.sources,
            path=str(subject.path), subject=subject.name, subject_sha256=subject.sha256, parts=subject.parts,
            features=subject.features, digests=subject.digests, shim=image.shim_folder,
        )  # fmt: skip

    def image(self, contract: Contract, text: Path | None = None) -> Image:
        """Return the image, on whatever machine this is.

        Args:
            contract: that the subject has to keep.
            text: a copy of the subject's one file, for who looks for declarations in it.
        Raises:
            HarnessError: its ELF cannot be had.
        """
        subject = Subject(
            Path(self.path), self.subject_sha256, self.subject, contract, self.parts, self.features,
            self.digests,
        )  # fmt: skip
        elf = path_of(self.sha256, built_name())
        return Image(
            elf, self.sha256, self.profile, subject, self.lacks, self.sources, shim=self.shim, text=text
        )
