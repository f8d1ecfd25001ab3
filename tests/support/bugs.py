"""Puts every narrow value, short loop and special index into one copy of the built-in frame module.

A bug is asleep until the kernel's command line names it (`red=bug:17`), so all are built once. The copy is
made from the module's text: each kind of place has a pattern, `leftovers` tells which lines no pattern took.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

SUPPORT = (Path(__file__).parent / "bugs.rs").read_text(encoding="utf-8")
WIDTHS = (8, 16, 32)

# Bits of what the text names. A name that is not here stops the generator.
BITS = {
    "next": 64, "prev": 64, "vtable": 64, "flags": 32, "order": 8, "meta_aux": 32, "refcount": 32,
    "generation": 32, "guard": 32, "METADATA_BASE_VIRT": 64, "METADATA_FRAME_COUNT": 64,
}  # fmt: skip
TYPES = {"u64": 64, "u32": 32, "usize": 64, "PhysAddr": 52, "PhysFrame": 52, "Self": 52, "u8": 8}

FUNCTION = re.compile(r"^ *(?:pub )?(?:const )?(?:unsafe )?fn (\w+)(?:<[^>]*>)?\(([^)]*)\)", re.MULTILINE)
LOAD = re.compile(r"(?P<value>(?:self\.)?(?:\w+\.)*(?P<name>\w+)\.load\(\w+\))")
STORE = re.compile(r"(?<=\.)store\((?P<value>[^,]+), \w+\)")
SWAP = re.compile(r"compare_exchange\((?P<value>\w+), (?P<other>\w+),")
FETCH = re.compile(r"\.(?P<name>\w+)\.fetch_(?:and|or)\((?P<value>[\w:]+),")
OPERAND = r"[\w.:]+(?:\([\w.:]*\)(?:\.\w+\(\))?)?"
TERM = rf"{OPERAND}(?: [&-] {OPERAND})?"
COMPARISON = re.compile(rf"(?P<value>{TERM}) (?P<operator>==|!=|<=|>=|<|>) (?P<other>{TERM})")
MATCH = re.compile(r"match (?P<value>count|self\.purpose\.flags\(\) & frame_flags::MOVABLE) \{")
CUSTOM = re.compile(r"Self::Custom\(flags\) => (?P<value>flags),")

# Bits of both sides of a comparison, by its text.
COMPARED = {
    "self.get_flags() & flag == flag": 32,
    "count < REFCOUNT_UNUSED - 1": 32,
    "found & meta_guard::POISONED != 0": 32,
    "self.get_guard() & meta_guard::POISONED == meta_guard::POISONED": 32,
    "frames == 0": 64,
    "done < count": 64,
    "base != 0": 64,
    "pfn < frames": 64,
    "expected == get_meta(phys).generation()": 32,
    "METADATA_BASE_VIRT.load(Acquire) == 0": 64,
    "found != REFCOUNT_UNUSED": 32,
    "frame.start_address == addr": 52,
    "frame > self.end": 52,
}
NO_NUMBERS = {"self == Self::PageTable"}

# Loops, scans and indexes: what is replaced, by what, once; `@` is the bug's number.
SPECIAL = (
    ("inc_ref", "saturates at 8 bits", "count + 1", "count + bugs::stride(@, count, 0xff)"),
    ("inc_ref", "saturates at 16 bits", "bugs::stride(#, count, 0xff)",
     "bugs::stride(#, count, 0xff).min(bugs::stride(@, count, 0xffff))"),
    ("inc_ref", "refuses the last reference that it must take", "(count < REFCOUNT_UNUSED - 1)",
     "(count < REFCOUNT_UNUSED - 1 - u32::from(bugs::on(@)))"),
    ("dec_ref", "goes on in 8 bits", "held - 1", "bugs::cut(@, held - 1, 8)"),
    ("dec_ref", "goes on in 16 bits", "bugs::cut(#, held - 1, 8)",
     "bugs::cut(@, bugs::cut(#, held - 1, 8), 16)"),
    ("dec_ref", "returns 8 bits", "Ok(before) => before,", "Ok(before) => bugs::cut(@, before, 8),"),
    ("dec_ref", "returns 16 bits", "Ok(before) => bugs::cut(#, before, 8),",
     "Ok(before) => bugs::cut(@, bugs::cut(#, before, 8), 16),"),
    ("advance_generation", "saturates at 8 bits", "self.generation.fetch_add(1, Release);",
     "self.generation.fetch_add(bugs::stride(@, self.generation.load(Relaxed), 0xff), Release);"),
    ("advance_generation", "saturates at 16 bits", "bugs::stride(#, self.generation.load(Relaxed), 0xff)",
     "bugs::stride(#, self.generation.load(Relaxed), 0xff)"
     ".min(bugs::stride(@, self.generation.load(Relaxed), 0xffff))"),
    ("fill_table", "the last slot stays as it was", "let mut done = 1;",
     "let count = count - bugs::on(@) as usize;\n    let mut done = 1;"),
    ("fill_table", "the first slot is special", "        done += step;\n    }\n",
     "        done += step;\n    }\n    if bugs::on(@) {\n"
     "        unsafe { (*table).meta_aux.as_ptr().write(1) }\n    }\n"),
    ("get_meta_slot", "the first frame is special", "let pfn = phys.as_u64() / PAGE_SIZE;",
     "let pfn = phys.as_u64() / PAGE_SIZE;\n    let pfn = pfn + bugs::at(@, pfn, 0);"),
    ("get_meta_slot", "the last frame is special", "let table = ptr::with_exposed_provenance::<MetaSlot>(",
     "let pfn = pfn - bugs::at(@, pfn, frames - 1);\n"
     "    let table = ptr::with_exposed_provenance::<MetaSlot>("),
    ("get_meta_slot", "one frame less", "let pfn = phys.as_u64() / PAGE_SIZE;",
     "let frames = frames - bugs::on(@) as u64;\n    let pfn = phys.as_u64() / PAGE_SIZE;"),
    ("block_phys_has_poison_guard", "one frame less", "(0..1_u64 << order)",
     "(0..(1_u64 << order) - bugs::on(@) as u64)"),
    ("block_phys_has_poison_guard", "begins at the second frame", "(0..(1_u64 << order)",
     "(bugs::on(@) as u64..(1_u64 << order)"),
    ("block_phys_has_poison_guard", "stops at order MAX - 1", "(1_u64 << order)",
     "(1_u64 << if bugs::on(@) { order.min(10) } else { order })"),
    ("allocate", "one round less", "in 0..METADATA_FRAME_COUNT.load(Acquire)",
     "in 0..METADATA_FRAME_COUNT.load(Acquire) - bugs::on(@) as u64"),
    ("allocate", "begins at the second round", "in 0..METADATA", "in bugs::on(@) as u64..METADATA"),
    ("zero_payload", "one byte less", "write_bytes(0, PAGE_SIZE as usize)",
     "write_bytes(0, PAGE_SIZE as usize - bugs::on(@) as usize)"),
    ("zero_payload", "begins at the second byte", "payload.write_bytes(0, PAGE_SIZE as usize -",
     "payload.add(bugs::on(@) as usize).write_bytes(0, PAGE_SIZE as usize - bugs::on(@) as usize -"),
    ("range_inclusive", "begins at the second frame", "FrameRangeInclusive { start, end }",
     "FrameRangeInclusive { start: bugs::later(@, start), end }"),
    ("range_inclusive", "ends before the last frame", "start: bugs::later(#, start), end }",
     "start: bugs::later(#, start), end: bugs::earlier(@, end) }"),
)  # fmt: skip


class BugError(AssertionError):
    """The module's text is not what the generator expects."""


@dataclass(frozen=True)
class Bug:
    """One way in which the module is wrong; `function` is the one that holds it."""

    number: int
    function: str
    what: str

    @property
    def name(self) -> str:
        """For a person."""
        return f"{self.function}: {self.what}"

    @property
    def red(self) -> str:
        """The value of `red=` that wakes it."""
        return f"bug:{self.number}"


@dataclass
class Generator:
    """The text with the bugs that are in it so far."""

    text: str
    bugs: list[Bug] = field(default_factory=list)
    _next: int = 1

    def narrow(self, function: str, what: str, value: str, bits: int) -> str:
        """Wrap a value, with a bug for each width that it is larger than."""
        if value == "0":
            return value  # of no width at all
        first, self._next = self._next, self._next + len(WIDTHS)
        for index, width in enumerate(WIDTHS):
            if width < bits:
                self.bugs.append(Bug(first + index, function, f"{what} in {width} bits"))
        return f"bugs::narrow({first}, {value})"

    def special(self, function: str, what: str, old: str, new: str, last: int) -> int:
        """Replace a text that a function has once; returns the bug's number."""
        number, self._next = self._next, self._next + 1
        old, new = old.replace("#", str(last)), new.replace("#", str(last)).replace("@", str(number))
        begin, end = span_of(self.text, function)
        body = self.text[begin:end]
        if body.count(old) != 1:
            raise BugError(f"{function}: {what}: expected {old!r} once, found it {body.count(old)} times")
        self.text = self.text[:begin] + body.replace(old, new) + self.text[end:]
        self.bugs.append(Bug(number, function, what))
        return number


def span_of(text: str, function: str) -> tuple[int, int]:
    """Where a function's head and body stand."""
    found = next((match for match in FUNCTION.finditer(text) if match[1] == function), None)
    if found is None:
        raise BugError(f"no function {function}")
    indent = re.match(r" *", found[0])
    close = "\n" + (indent[0] if indent else "") + "}\n"
    return found.start(), text.index(close, found.start()) + len(close)


def function_at(text: str, offset: int) -> str:
    """The function that a place stands in; empty outside of all."""
    heads = _heads_of(text)
    above = bisect.bisect_right(heads, offset, key=lambda head: head[0])
    return heads[above - 1][1] if above else ""


@lru_cache(maxsize=1)
def _heads_of(text: str) -> list[tuple[int, str]]:
    """Where each function begins, in the order of the text, with its name."""
    return [(match.start(), match[1]) for match in FUNCTION.finditer(text)]


def code_of(text: str) -> str:
    """The text with comments blanked, so that offsets stay."""
    blank = re.compile(r"//[^\n]*")
    return blank.sub(lambda match: " " * len(match[0]), text)


PLACE = re.compile(
    r"\.(?:load|store|swap|compare_exchange\w*|fetch_\w+|write_bytes|copy_to_\w+)\("
    r"| (?:==|!=|<=|>=|<|>) |\bmatch |\b(?:while|loop)\b|\bfor \w+ in\b|0\.\."
)
"""What has to carry a bug: atomic accesses, comparisons, loops, scans."""


def leftovers(text: str, made: Generator) -> list[str]:
    """Lines of a module with such a place in which there is no bug."""
    unchanged = {line.strip() for line in made.text.splitlines()}
    lines = [(line.strip(), code_of(line)) for line in text.splitlines() if not line.startswith("const _")]
    return [line for line, code in lines if PLACE.search(code) and line in unchanged]


def generate(text: str) -> Generator:
    """Return the module with all bugs in it, asleep."""
    made = Generator(text)
    last: int = 0
    for function, what, old, new in SPECIAL:
        last = made.special(function, what, old, new, last)
    _values(made)
    _parameters(made)
    made.text = re.sub(r"\bpub const fn (?=metadata_size_for)|^const fn ", "pub fn ", made.text, flags=re.M)
    made.text += SUPPORT
    return made


def _values(made: Generator) -> None:
    """Loads, stores and comparisons, each in its line."""
    lines, offset = [], 0
    for line in made.text.splitlines(keepends=True):
        code = code_of(line)
        function = function_at(made.text, offset)
        offset += len(line)
        lines.append(line if code.startswith("const _") else _in_line(made, function, line, code))
    made.text = "".join(lines)


def _in_line(made: Generator, function: str, line: str, code: str) -> str:
    """Replace from the end of the line to its beginning, so that offsets stay true."""
    edits = [
        (span, made.narrow(function, what, line[slice(*span)], bits))
        for span, what, bits in [*_compared(function, code), *_accessed(code), *_chosen(code)]
    ]
    for (begin, end), new in sorted(edits, reverse=True):
        line = line[:begin] + new + line[end:]
    return line


Found = tuple[tuple[int, int], str, int]
"""Where a value stands, what it is, its bits."""


def _compared(function: str, code: str) -> Iterator[Found]:
    for match in COMPARISON.finditer(code):
        if match[0] in NO_NUMBERS:
            continue
        if match[0] not in COMPARED:
            raise BugError(f"{function}: a comparison of unknown width: {match[0]!r}")
        for side, group in (("left", "value"), ("right", "other")):
            yield match.span(group), f"`{match[0]}`, {side} side", COMPARED[match[0]]


def _accessed(code: str) -> Iterator[Found]:
    inside = [match.span() for match in COMPARISON.finditer(code)]
    for match in LOAD.finditer(code):
        if "stride" not in code and not any(begin <= match.start() < end for begin, end in inside):
            yield match.span("value"), f"load of {match['name']}", BITS[match["name"]]
    for match in STORE.finditer(code):
        name = code[: match.start() - 1].rpartition(".")[2].strip()
        yield match.span("value"), f"store to {name}", BITS[name]
    for match in FETCH.finditer(code):
        yield match.span("value"), f"operand of {match['name']}", BITS[match["name"]]
    for match in SWAP.finditer(code):
        yield match.span("value"), "what is expected", 32
        yield match.span("other"), "what is stored", 32


def _chosen(code: str) -> Iterator[Found]:
    for match in MATCH.finditer(code):
        yield match.span("value"), "`match`", 32
    for match in CUSTOM.finditer(code):
        yield match.span("value"), "custom flags", 32


# A message is no value that anybody computes with; what is stored or compared has its bugs already.
NO_OPERANDS = {"refuse_reference", "fill_table"}


def _parameters(made: Generator) -> None:
    """The operands of functions that are no methods: a method has a bug where it stores or compares."""
    for name, parameters in [(match[1], match[2]) for match in FUNCTION.finditer(made.text)]:
        if "self" in parameters.split(",")[0] or name in NO_OPERANDS:
            continue
        narrowed = []
        for parameter in parameters.split(","):
            operand, _, kind = (part.strip() for part in parameter.partition(":"))
            if TYPES.get(kind, 0) > 8:
                value = made.narrow(name, f"operand {operand}", operand, TYPES[kind])
                narrowed.append(f"let {operand} = {value};")
        if narrowed:
            begin, end = span_of(made.text, name)
            body = made.text[begin:end].replace("{\n", "{\n" + " ".join(narrowed) + "\n", 1)
            made.text = made.text[:begin] + body + made.text[end:]
