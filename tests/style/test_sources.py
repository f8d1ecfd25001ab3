"""Every document that a comment cites has its edition in DESIGN, and a citation of another one is seen.

What looks like a citation is one of `NAMES`, names of documents, and of `PLACES`, which need one beside them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.style.comments import comments
from tests.style.test_wording import PRODUCT, ROOT, name_of
from tests.support.each import each

SHIM = ROOT / "kernel_shim"
CODE = [*PRODUCT, *sorted((SHIM / "src").rglob("*.s")), SHIM / "linker.ld"]
DESIGN = (ROOT / "DESIGN.md").read_text(encoding="utf-8")
EDITIONS = dict(
    re.findall(r"(?m)^\| ([\w -]+) \| (.+) \|$", DESIGN.split("\n## Sources\n")[1].split("\n## ")[0])
)
del EDITIONS["source"]
MAN_PAGES = re.findall(r"[\w-]+\(\d\)", EDITIONS["man pages"])
HEADERS = re.findall(r"linux/([\w-]+\.h)", EDITIONS["Linux"])
RFCS = re.findall(r"\b\d+(?= of)", EDITIONS["RFC"])
# By what the table calls a document: the words that a comment has for it. A name that prose has, too, such as
# that of QEMU, is one with its version or with a path.
CITED = {
    "SDM": r"\bSDM\b",
    "APM": r"\bAPM\b",
    "ACPI specification": r"\bACPI spec\w*",
    "System V ABI": r"\bSystem V ABI\b|\bpsABI\b",
    "DWARF": r"\bDWARF [45]\b",
    "QEMU": r"\bQEMU,? (?:7\.2|\d+ )|\bQEMU does \(7\.2|\bhw/\w+/\w+\.c\b|\bgdbstub\.c\b"
    r"|\bdocs/(?:devel|interop|system)/",
    "Xen": r"\bxen\.git\b|\bXen public\b|\bpvh\.pandoc\b",
    "Linux": rf"\bLinux 6\.1\b|\blinux/(?:{'|'.join(HEADERS)})\b|\bDocumentation/dev-tools/ktap\.rst",
    "man pages": "|".join(rf"\b{re.escape(page)}" for page in MAN_PAGES),
    "POSIX": r"\bPOSIX\.1-2017\b",
    "XDG": r"\bXDG Base Directory Specification\b",
    "LLVM": r"\bLLVM 22\b",
    "datasheet": r"\b(?:PC16550D|8259A) datasheet\b|\(datasheet\b|\bdatasheet's table II\b",
    "Debugging with GDB": r"\bDebugging with GDB\b",
    "RFC": rf"\bRFC (?:{'|'.join(RFCS)})\b",
    "FIPS": r"\bFIPS 202\b",
    "CRC catalogue": r"\bcatalogue of parametrised CRC algorithms\b",
    "SARIF": r"\bSARIF\)? Version 2\.1\.0|\bsarif/v2\.1\.0",
    "rustc": r"\bThe rustc book\b|\brustc_symbol_mangling\b",
    "Cargo Book": r"\bThe Cargo Book\b",
    "papers": r"\bHerlihy,\s+Wing\b|\bKang et al\.",
    "GitHub Actions": r"\bWorkflow commands for GitHub Actions\b",
    "Code Climate": r"\bCode Climate\b",
    "cargo-mutants": r"https://mutants\.rs/",
}
_KNOWN = re.compile("|".join(CITED.values()))
NAMES = re.compile(
    r"""
    \b[a-z][\w-]*\([1-8]\)                              # a man page
    | \bRFC\s\d+
    | \b(?:ISO|IEC|IEEE|ECMA|ANSI|FIPS|NIST|ITU|PEP|UAX|POSIX)[\s/.-](?:Std\s)?[\w.-]*\d[\w.-]*
    | https?://[\w-]+\.[a-z][\w./-]+
    | \bThe\s\w+\s[Bb]ook\b
    | \b[A-Z]\w+\set\sal\.
    | \b(?:linux|Documentation)/[\w/-]+\.\w+
    """,
    re.VERBOSE,
)
"""Names of documents: each must be one of the table."""
PLACES = re.compile(
    r"""
    §
    | \b[Ss]ections?\s\d+(?:\.\d+)+ | \b[Cc]hapter\s\d+ | \b[Aa]ppendix\s[A-Z]\b
    | \b[Tt]ables?\s(?:\d+[.-]\d+|[IVX]+\b) | \b[Ff]igure\s\d+[.-]\d+
    | \b[Vv]ol(?:\.|ume)\s\d
    | (?<=[(,]\s)\d+\.\d+\.\d+(?=[,)]) | \((?:\d+\.){2}\d+[,)]  # 3.2.1, where it is no version
    | (?<![\w.+])[1-4]?\d(?:\.\d+){3,}(?![\w.+])        # 4.10.2.3, but no address of a host
    | \b[Ss]pecification\b | \b[Dd]atasheet\b | \b[Rr]eference\s[Mm]anual\b
    | \b(?:[\w-]+/)*[\w-]+\.(?:c|h|rst|pandoc)\b        # a file of somebody's sources
    """,
    re.VERBOSE,
)
"""Places in documents: one of the table must be named in the same comment."""


def unknown(comment: str) -> Iterator[str]:
    """What a comment cites and the table does not have."""
    known = list(_KNOWN.finditer(comment))
    prose = re.sub(r"`[^`\n]*`", lambda code: " " * len(code[0]), comment)  # `f(1)` is a call
    for name in NAMES.finditer(prose):
        if not any(one.start() < name.end() and name.start() < one.end() for one in known):
            yield name[0]
    if not known:
        yield from (place[0] for place in PLACES.finditer(comment))


def test_every_source_of_the_table_is_cited_and_the_other_way_round() -> None:
    texts = ["\n".join(one.text for one in comments(path)) for path in CODE]
    cited = {name for name, words in CITED.items() if any(re.search(words, text) for text in texts)}
    assert cited == set(EDITIONS) == set(CITED)


def is_pinned(edition: str) -> bool:
    """Whether it has the number of an edition; what has none, the date on which it was read."""
    if "no edition" in edition:
        return re.search(r"\bread on 20\d\d-[01]\d-[0-3]\d\b", edition) is not None
    return re.search(r"\d", edition) is not None


def test_every_source_has_an_edition_or_the_date_on_which_it_was_read() -> None:
    assert [name for name, edition in EDITIONS.items() if not is_pinned(edition)] == []


@pytest.mark.parametrize(
    ("edition", "pinned"),
    [
        ("6.5, August 2022", True),
        ("the page", False),
        ("its book has no edition: the page of 3 lists", False),
        ("its book has no edition: the page, read on 2026-11-29", True),
        ("its book has no edition: the page, read on some day", False),
    ],
)
def test_a_source_without_an_edition_and_a_date_is_seen(edition: str, pinned: bool) -> None:
    assert is_pinned(edition) == pinned


@each(CODE, ids=name_of)
def test_a_comment_cites_only_what_the_table_has(path: Path) -> None:
    found = [f"{one.first}: {cited}" for one in comments(path) for cited in unknown(one.text)]
    assert found == []


@pytest.mark.parametrize(
    "comment",
    [
        "the signal of its parent (kill(2))",
        "as RFC 793 has it",
        "IEEE 754, and ISO 8601",
        "see https://example.org/page",
        "The Embedonomicon Book",
        "after Lamport et al.",
        "linux/futex.h, 6.1",
        "Documentation/trace/ftrace.rst",
        "bits 12 to 51 (vol. 3A)",
        "see section 4.2.1",
        "table 4-19",
        "§ 4",
        "appendix B",
        "as written down (4.10.2)",
        "4.10.2.3",
        "the datasheet says so",
        "the specification: it must be ignored",
        "as kernel/fork.c has it",
        "of QEMU, section 4.2",
    ],
)
def test_a_citation_of_an_unknown_document_is_seen(comment: str) -> None:
    assert list(unknown(comment))


@pytest.mark.parametrize(
    "comment",
    [
        "the signal of its parent (prctl(2))",
        "RFC 3986, 2.1",
        "Intel SDM vol. 3A, 4.10.2.3; table 11-1",
        "DWARF 5 section 7.5.6, table 7.6",
        "QEMU 7.2, hw/i386/pc_q35.c, microvm.c",
        "linux/prctl.h, 6.1",
        "`range(8)` of them, in 2.5 s",
        "a table of 12 rows",
        "registry+https://…#spin@0.9.8, at 127.0.0.1",
    ],
)
def test_a_citation_of_a_known_document_is_none_of_these(comment: str) -> None:
    assert list(unknown(comment)) == []


@each(CODE, ids=name_of)
def test_who_names_a_file_of_qemu_s_sources_says_whose_it_is(path: Path) -> None:
    of_qemu = re.compile(r"\bhw/\w+/\w+\.c\b|\bgdbstub\.c\b|\bdocs/interop/")
    text = path.read_text(encoding="utf-8")
    assert "QEMU" in text or not of_qemu.search(text)
