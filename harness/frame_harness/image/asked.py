"""What the profiles are, as the harness asks the compiler for them."""

from __future__ import annotations

import hashlib
import json
import tomllib
from dataclasses import dataclass
from typing import Any, Final

from frame_harness.base import resources

_CHECKS: Final = {"dev": True, "release": False, "cov": True, "fuzz": True}
_COUNTS_BRANCHES: Final = {
    "fuzz": (
        "-Cpasses=sancov-module",
        "-Cllvm-args=-sanitizer-coverage-level=3",
        "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
        "-Cllvm-args=-sanitizer-coverage-pc-table",
    )
}
"""SanitizerCoverage (LLVM 22): a counter of one byte for each edge, and a table of where they are; no
run-time library."""
_CARGO_DEFAULT_LEVEL: Final = {"dev": "0", "release": "3"}


@dataclass(frozen=True)
class Asked:
    """How the crate with the subject in it must be compiled."""

    profile: str
    checks: bool
    """Whether debug assertions and overflow checks are on."""
    opt_level: str
    """`0` to `3`, `s` or `z`."""
    debuginfo: str = "2"
    """Of rustc's levels; unoptimized code is another without it."""
    lto: str | None = None
    """Of rustc's kinds; None leaves the choice to the compiler, which optimizes the pieces of one crate into
    each other.
    """

    @property
    def flags(self) -> tuple[str, ...]:
        """The compiler's flags for it, beside those of the target."""
        on_or_off = "on" if self.checks else "off"
        return (
            f"-Copt-level={self.opt_level}", f"-Cdebug-assertions={on_or_off}",
            f"-Coverflow-checks={on_or_off}", "-Cpanic=abort",
            f"-Cdebuginfo={self.debuginfo}", *([f"-Clto={self.lto}"] if self.lto else []),
            *instrumentation(self.profile),
        )  # fmt: skip


def instrumentation(profile: str) -> tuple[str, ...]:
    """Return the flags of a profile that no manifest can say."""
    return _COUNTS_BRANCHES.get(profile, ())


def told_by_guest(profile: str) -> str:
    """Return what a guest says of its code: it cannot tell that its branches are counted."""
    return "cov" if profile in _COUNTS_BRANCHES else profile


def asked(profile: str) -> Asked:
    """Return what a profile is; that dev has the checks is not for the manifest to say."""
    given = _profile(profile)
    level = given.get("opt-level", _CARGO_DEFAULT_LEVEL.get(profile))
    return Asked(profile, _CHECKS[profile], str(level), str(given["debug"]), given.get("lto"))


def on_or_off(there: bool) -> str:
    """Return what messages say of a check of a profile."""
    return "on" if there else "off"


def _profile(name: str) -> dict[str, Any]:
    """Return a profile with what it inherits."""
    given: dict[str, Any] = manifest()["profile"][name]
    return _profile(given["inherits"]) | given if "inherits" in given else given


def profiles_key() -> str:
    """Return what differs when any profile is another one."""
    text = json.dumps(manifest()["profile"], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:6]


def manifest() -> dict[str, Any]:
    """Return the shim's `Cargo.toml`, read anew."""
    return tomllib.loads((resources.shim_dir() / "Cargo.toml").read_text(encoding="utf-8"))


def foreign_crates() -> dict[str, Any]:
    """Return the crates that the shim depends on, but for its own library: a subject may use them, too."""
    wanted: dict[str, Any] = manifest()["dependencies"]
    return {name: one for name, one in wanted.items() if not (isinstance(one, dict) and "path" in one)}
