"""Every document that a comment names has its edition in DESIGN."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.style.test_wording import PRODUCT, ROOT, name_of

CODE = [*PRODUCT, *sorted((ROOT / "kernel_shim" / "src").rglob("*.s"))]
DESIGN = (ROOT / "DESIGN.md").read_text(encoding="utf-8")
SOURCES = set(re.findall(r"(?m)^\| ([\w ]+) \|", DESIGN.split("\n## Sources\n")[1].split("\n## ")[0])) - {
    "source"
}
# By the words that a comment has for it: what the table calls it.
CITED = {
    r"\bSDM\b": "SDM",
    r"\bAPM\b": "APM",
    r"\bACPI spec": "ACPI specification",
    r"\bSystem V ABI\b": "System V ABI",
    r"\bDWARF \d": "DWARF",
    r"\bhw/\w+/\w+\.c\b|\bgdbstub\.c\b|\bdocs/interop/": "QEMU",
    r"\bxen\.git\b|\bXen public\b|\bpvh\.pandoc\b": "Xen",
    r"\bdatasheet\b": "datasheet",
    r"\bDebugging with GDB\b": "Debugging with GDB",
    r"\bRFC \d": "RFC",
    r"\bFIPS\b": "FIPS",
    r"\bSARIF\)? Version|\bsarif/v\d": "SARIF",
    r"\brustc book\b|\brustc_symbol_mangling\b": "rustc",
}
_OF_QEMU = re.compile(r"\bhw/\w+/\w+\.c\b|\bgdbstub\.c\b|\bdocs/interop/")


def test_every_source_of_the_table_is_cited_and_the_other_way_round() -> None:
    texts = [path.read_text(encoding="utf-8") for path in CODE]
    cited = {name for words, name in CITED.items() if any(re.search(words, text) for text in texts)}
    assert cited == SOURCES == set(CITED.values())


@pytest.mark.parametrize(
    "path", [path for path in CODE if _OF_QEMU.search(path.read_text("utf-8"))], ids=name_of
)
def test_who_names_a_file_of_qemu_s_sources_says_whose_it_is(path: Path) -> None:
    assert "QEMU" in path.read_text(encoding="utf-8")
