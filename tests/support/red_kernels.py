"""A copy of the project whose kernel misbehaves as `red=` on its command line says."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from frame_harness.base import resources
from frame_harness.image import store
from tests.support.mutants import Edit, apply

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("harness", "kernel_shim", "qemu", "tests/contract")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "target", "_data")
MODULE = Path(__file__).with_suffix(".rs")
"""What the misbehaviors do; becomes `src/red.rs` of the copy."""

EDITS: dict[str, tuple[Edit, ...]] = {
    "parts/command_line.rs": (('const KEYS: [&str; 6] = ["init"', 'const KEYS: [&str; 7] = ["red", "init"'),),
    "src/main.rs": (
        ("mod report;\n", "mod red;\nmod report;\n"),
        (
            "    console::banner::print();\n",
            "    red::before_banner();\n    console::banner::print();\n    red::after_banner();\n",
        ),
    ),
    "src/memory_map.rs": (
        ("|| start_info.memory_map()", "|| crate::red::memory_map(start_info.memory_map())"),
        ("start_info.memory_map().count()", "crate::red::memory_map(start_info.memory_map()).count()"),
    ),
    "src/memory/cpu_lock.rs": (
        (
            "        let guard = self.value.lock();\n",
            '        if crate::red::is("unlocked-buddy") {\n'
            "            unsafe { self.value.force_unlock() }\n"
            "        }\n"
            "        let guard = self.value.lock();\n",
        ),
    ),
    "src/console/banner.rs": (
        ("        let build = build_id();\n", "        let build = crate::red::build_id(build_id());\n"),
        ('cmdline::get("nonce").unwrap_or("-")', 'crate::red::nonce(cmdline::get("nonce").unwrap_or("-"))'),
    ),
    "src/console/dispatch.rs": (
        (
            "    let outcome = match line {\n",
            "    crate::red::before_answer();\n    let outcome = match line {\n",
        ),
        (
            "    output::line(kind::REPLY, ",
            "    let sequence = crate::red::sequence(sequence);\n"
            "    for _ in 0..crate::red::replies() {\n    output::line(kind::REPLY, ",
        ),
        (
            "    if let Some(code) = reply.exit() {\n",
            "    }\n    if let Some(code) = reply.exit() {\n        crate::red::before_exit();\n",
        ),
    ),
    "src/codegen/mod.rs": (("[assertions, ", "[crate::red::assertions(assertions), "),),
    "src/commands/selftest.rs": (
        ("    let planned = ", "    let (claimed, planned) = crate::red::ktap_plan("),
        ("selftest::checks().count();", "selftest::checks().count());"),
        ("1..{planned}", "1..{claimed}"),
        (".zip(selftest::checks())", ".zip(selftest::checks().take(planned))"),
    ),
    "src/frame_commands/dump.rs": (
        ("slot_table::peek(pfn);", "crate::red::seen(slot_table::peek(pfn), pfn, first);"),
        (
            "slot_table::run_length(pfn, end);",
            "if crate::red::tells_wrong(pfn, first) { 1 } else { slot_table::run_length(pfn, end) };",
        ),
        ("HexBytes(&slot)", "HexBytes(&crate::red::printed(slot, runs))"),
        ("crc.finalize();", "crc.finalize() ^ u32::from(crate::red::tells_wrong(pfn, first));"),
    ),
}


def red_project() -> Path:
    """Return the copy; one is made for each state of the project, and stays for the next time."""
    home = resources.build_dir() / "mutants" / f"red-{_digest()}"
    if home.is_dir():
        return home
    with store.locked("red-project"), tempfile.TemporaryDirectory(dir=_made(home.parent)) as folder:
        copy = Path(folder, "project")
        for part in PARTS:
            shutil.copytree(ROOT / part, copy / part, ignore=LEFT_OUT)
        for name, edits in EDITS.items():
            path = copy / "kernel_shim" / name
            path.write_text(apply(path.read_text(encoding="utf-8"), edits, name=name), encoding="utf-8")
        shutil.copyfile(MODULE, copy / "kernel_shim" / "src" / "red.rs")
        if not home.is_dir():
            copy.rename(home)
    return home


def red_environment() -> dict[str, str]:
    """Return the variables with which a program of the harness is the copy's."""
    project = red_project()
    return {
        "PYTHONPATH": f"{project / 'harness'}:{ROOT}",  # the tests' own plugins are not in the copy
        "FRAME_HARNESS_CACHE": os.fspath(resources.build_dir()),
    }


@contextmanager
def red_shim() -> Iterator[None]:
    """Let this process build the copy's shim."""
    shim = red_project() / "kernel_shim"
    with mock.patch.object(resources, "shim_dir", lambda: shim):
        yield


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _digest() -> str:
    total = hashlib.sha256(repr(EDITS).encode() + MODULE.read_bytes())
    for part in PARTS:
        for path in sorted((ROOT / part).rglob("*")):
            if path.is_file() and not {"__pycache__", "target", "_data"} & set(path.parts):
                total.update(os.fsencode(path.relative_to(ROOT)) + b"\0" + path.read_bytes())
    return total.hexdigest()[:16]
