"""Compiles the shim's `evidence.rs` without cargo: what the compiler makes of it shows how it was asked."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from frame_harness.base import resources
from frame_harness.base.disk import run_writing, scratch
from frame_harness.base.errors import BuildError
from frame_harness.image.asked import Asked, manifest
from frame_harness.image.compiler import TARGET, Toolchain
from frame_harness.image.errors import AGAIN
from frame_harness.image.isolation import environment

ASSERTION: Final = "codegen_assertion"
OVERFLOW: Final = "codegen_overflow"
RECURSION: Final = "codegen_recursion"
OPTIMIZATION: Final = "codegen_optimization"
FEATURES: Final = "codegen_features"
ALL: Final = (ASSERTION, OVERFLOW, RECURSION, OPTIMIZATION, FEATURES)


def path() -> Path:
    """Return where the source is."""
    return resources.shim_dir() / "src" / "codegen" / "evidence.rs"


@contextmanager
def compiled(
    wanted: Asked,
    toolchain: Toolchain,
    emit: Literal["obj", "llvm-ir"],
    *flags: str,
    target: str = TARGET,
    core: Path | None = None,
) -> Iterator[Path]:
    """Compile the evidence as it was asked for; the file that is yielded is gone afterwards.

    Args:
        flags: for the compiler, beyond those of the profile.
        core: the core library, where the compiler brings none for the target.
    Raises:
        BuildError: the compiler failed.
    """
    with scratch("evidence") as folder:
        library, out = folder / "lib.rs", folder / "evidence"
        shutil.copyfile(path(), library.with_name(path().name))
        library.write_text(f"#![no_std]\npub mod {path().stem};\n", encoding="utf-8")
        # As cargo names a core library that it compiled.
        own_core = (
            ["-Zunstable-options", f"--extern=noprelude:core={core}", f"-L{core.parent}"] if core else []
        )
        argv: list[str | Path] = [
            toolchain.rustc, f"--edition={manifest()['package']['edition']}", "--crate-type=lib",
            f"--target={target}", "-Ccodegen-units=1", *wanted.flags, *flags, *own_core,
            f"--emit={emit}={out}", library,
        ]  # fmt: skip
        env = environment() | dict(toolchain.env)
        what = "compiling the evidence of the profile"
        finished = run_writing(folder, argv, what=what, env=env, cwd=folder)
        if finished.status != 0:
            raise BuildError(
                "build", path().name, detail=finished.last_words(), evidence=finished.err, next_step=AGAIN
            )
        yield out
