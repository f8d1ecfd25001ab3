"""A build says what is compiled now, not what was begun last."""

from __future__ import annotations

import json
from pathlib import Path

from frame_harness.image.cargo_progress import Packages


def artifact(package: str, kind: str = "lib") -> str:
    return json.dumps(
        {"reason": "compiler-artifact", "package_id": package, "target": {"kind": [kind]}},
        separators=(",", ":"),
    )


def test_shim_is_named_while_it_alone_is_compiled(tmp_path: Path) -> None:
    (tmp_path / "Cargo.lock").write_text("[[package]]\n" * 2)
    how_far = Packages(tmp_path, with_core=False)
    shim = f"path+file://{tmp_path}/kernel_shim#0.1.0"
    assert how_far("   Compiling kernel_shim v0.1.0 (/x)") == "0 of 2 packages done, compiling kernel_shim"
    assert how_far(artifact(shim, "custom-build")) == "0 of 2 packages done, compiling kernel_shim"
    assert how_far("   Compiling spin v0.9.8") == "0 of 2 packages done, compiling kernel_shim, spin"
    spin = "registry+https://github.com/rust-lang/crates.io-index#spin@0.9.8"
    assert how_far(artifact(spin)) == "1 of 2 packages done, compiling kernel_shim"
    assert how_far(artifact(shim, "bin")) == "2 of 2 packages done, linking"
    assert how_far("warning: nothing") is None
    assert how_far(artifact(spin)[:-9]) is None, "of a cargo that was killed"


def test_a_package_that_only_a_feature_brings_is_counted_with_it_alone(tmp_path: Path) -> None:
    (tmp_path / "Cargo.lock").write_text("[[package]]\n" * 2)
    (tmp_path / "Cargo.toml").write_text('[dependencies]\nsmall = { version = "1", optional = true }\n')
    for with_optional, count in ((False, 1), (True, 2)):
        packages = Packages(tmp_path, with_core=False, with_optional=with_optional)
        assert packages("   Compiling small v1.0.0") == f"0 of {count} packages done, compiling small"
