"""Runs every linter of the project, each to its end."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

from frame_harness.base.commands import run, speaker
from frame_harness.image.cargo import target_dir_of
from frame_harness.image.compiler import TARGET, Toolchain
from frame_harness.image.toolchain import find_toolchain

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ("harness", "tests")
SAY = speaker(sys.stderr)
TINY = ROOT / "tests" / "tiny_contract"
TREE = ROOT / "tests" / "kernel_tree" / "src"
OWNERSHIP = ("block.rs", "block_meta.rs", "ownership.rs", "cow.rs")
CORE = [TREE / "memory" / name for name in ("zone.rs", "boot_alloc.rs", "buddy.rs", *OWNERSHIP)]
COMPONENTS = {"clippy": "clippy", "fmt": "rustfmt"}
"""The parts of a toolchain that check, by the name that cargo calls them."""
UNSAFE = ("undocumented_unsafe_blocks", "multiple_unsafe_ops_per_block")

Linter = tuple[str, list[str | Path]]


def main() -> int:
    """Return 0 when all agree; else 1, after the words of those that do not."""
    toolchain = find_toolchain(say=SAY)
    missing = [tool for tool in COMPONENTS if not _has(toolchain.cargo, tool)]
    n_wrong = 0
    for name, argv in [*_python(), *_rust(toolchain, missing)]:
        finished = run(argv, what=name, say=SAY, cwd=ROOT / "kernel_shim" if "cargo" in name else ROOT)
        if finished.status != 0:
            n_wrong += 1
            print(f"{name}: status {finished.status}\n{finished.out}{finished.err}".rstrip(), flush=True)
    return int(n_wrong > 0 or (bool(missing) and not _may_be_missing(missing, toolchain)))


def _python() -> Iterator[Linter]:
    tools = Path(sys.executable).parent
    yield "ruff format", [tools / "ruff", "format", "--check", "--quiet", *PYTHON]
    yield "ruff check", [tools / "ruff", "check", "--quiet", *PYTHON]
    yield "mypy", [tools / "mypy", "--strict", "--no-error-summary", *PYTHON]


def _rust(toolchain: Toolchain, missing: Collection[str]) -> Iterator[Linter]:
    cargo = toolchain.cargo
    if "clippy" not in missing:
        target_dir = f"--target-dir={target_dir_of(toolchain)}-clippy"
        options = ["--locked", "--quiet", "--workspace", f"--target={TARGET}", target_dir]
        denied = ["--", "-Dwarnings", *(f"-Dclippy::{name}" for name in UNSAFE)]
        clippy: list[str | Path] = [cargo, "clippy", *options, *denied]
        yield "cargo clippy", clippy
        around = [f"FRAME_RS={TINY / 'slot.rs'}", f"FRAME_HARNESS_ADAPTER={TINY / 'adapter.rs'}"]
        yield "cargo clippy around another adapter", ["env", *around, *clippy]
        tree: list[str | Path] = ["env", f"FRAME_HARNESS_TREE={TREE}"]
        owning: list[str | Path] = [cargo, "clippy", "--features=ownership", *options, *denied]
        yield "cargo clippy around a kernel tree", [*tree, *clippy]
        yield "cargo clippy around a kernel tree that owns blocks", [*tree, *owning]
    if "fmt" not in missing:
        yield (
            "cargo fmt",
            [cargo, "fmt", "--all", "--check", "--", "--config-path=.", *TINY.glob("*.rs"), *CORE],
        )


def _has(cargo: Path, tool: str) -> bool:
    """Tell whether a tool is there; rustup is asked for one that is not, Debian has no clippy at all."""
    if run([cargo, tool, "--version"], what=f"asking cargo {tool}").status == 0:
        return True
    component = COMPONENTS[tool]
    run(["rustup", "component", "add", component], what=f"rustup component add {component}", say=SAY)
    return run([cargo, tool, "--version"], what=f"asking cargo {tool}").status == 0


def _may_be_missing(tools: Collection[str], toolchain: Toolchain) -> bool:
    """Say that Rust code stays unchecked; a failure in CI, but for Debian's toolchain, which has none."""
    words = (
        f"{' and '.join(f'cargo {tool}' for tool in tools)}: not in this toolchain, so the Rust code stays"
    )
    if not os.environ.get("CI") or toolchain.choice == "debian":
        SAY(f"{words} unchecked by it")
        return True
    components = " ".join(COMPONENTS[tool] for tool in tools)
    print(f"{words} unchecked in CI; install it first: rustup component add {components}", flush=True)
    return False


if __name__ == "__main__":
    os.environ["CARGO_TERM_COLOR"] = "never"
    sys.exit(main())
