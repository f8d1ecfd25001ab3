"""Reads the instructions of an ELF file."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from iced_x86 import CpuidFeature, Decoder, FlowControl, Instruction, Mnemonic, OpKind, Register

from frame_harness.base.units import Vaddr
from frame_harness.image.elf import open_elf, reading
from frame_harness.image.errors import ImageError

_EXECUTABLE: Final = 0x4  # SHF_EXECINSTR
# Of the target, which has no vector and no floating-point registers, and of a kernel that talks to its CPU.
_BASELINE: Final = frozenset(
    {
        CpuidFeature.INTEL8086, CpuidFeature.INTEL186, CpuidFeature.INTEL286, CpuidFeature.INTEL386,
        CpuidFeature.INTEL486, CpuidFeature.X64, CpuidFeature.CMOV, CpuidFeature.CX8,
        CpuidFeature.MULTIBYTENOP, CpuidFeature.PAUSE, CpuidFeature.CPUID, CpuidFeature.MSR, CpuidFeature.TSC,
    }
)  # fmt: skip
_NAMES: Final = {
    value: name
    for name, value in vars(CpuidFeature).items()
    if isinstance(value, int) and not name.startswith("_")
}
_CALLS: Final = (FlowControl.CALL, FlowControl.INDIRECT_CALL)
BRANCHES: Final = (OpKind.NEAR_BRANCH16, OpKind.NEAR_BRANCH32, OpKind.NEAR_BRANCH64)
"""Kinds of the operand of a jump or call that names its target."""

CodeShape = tuple[tuple[int, ...], ...]
"""Instructions without what the linker fills in: encoding, kinds of operands, registers."""


@dataclass(frozen=True)
class Foreign:
    """An instruction that the target's CPUs need not have."""

    vaddr: Vaddr
    features: tuple[str, ...]


def functions_code(path: Path, names: Collection[str]) -> dict[str, bytes]:
    """Return the bytes of some functions by their names, also of an object file's.

    Raises:
        ImageError: one of them is not there.
    """
    file = open_elf(path)
    with reading(path):
        tables = [each for each in file.iter_sections() if isinstance(each, SymbolTableSection)]
        found = {name: code for name in names if (code := _code(file, tables, name)) is not None}
    if missing := sorted(set(names) - found.keys()):
        raise ImageError(f"{path}", "function", expected=missing[0], actual="none of that name")
    return found


def _code(file: ELFFile, tables: Iterable[SymbolTableSection], name: str) -> bytes | None:
    for symbol in (each for table in tables for each in table.get_symbol_by_name(name) or []):
        if symbol["st_info"]["type"] == "STT_FUNC" and isinstance(symbol["st_shndx"], int):
            section = file.get_section(symbol["st_shndx"])
            start = symbol["st_value"] - section["sh_addr"]
            return bytes(section.data()[start : start + symbol["st_size"]])
    return None


def shape(code: bytes) -> CodeShape:
    """Return what the compiler decided about a function, the same before and after linking."""
    return tuple(_shape(instruction) for instruction in Decoder(64, code))


def calls(code: bytes) -> bool:
    """Tell whether a function calls another, or itself; one that ends in a jump elsewhere does, too."""
    for instruction in Decoder(64, code):
        if instruction.flow_control in _CALLS:
            return True
        leaves = instruction.flow_control == FlowControl.UNCONDITIONAL_BRANCH
        if leaves and not instruction.near_branch_target < len(code):
            return True
    return False


def foreign(path: Path) -> Iterator[Foreign]:
    """Yield every instruction that needs more than the target's CPU."""
    for section in code_sections(open_elf(path)):
        for instruction in Decoder(64, section.data(), ip=section["sh_addr"]):
            # Compilers write `rep bsf` where older CPUs, which run `bsf`, give the same.
            if instruction.mnemonic == Mnemonic.TZCNT:
                continue
            more = [feature for feature in instruction.cpuid_features() if feature not in _BASELINE]
            if more:
                yield Foreign(Vaddr(instruction.ip), tuple(_NAMES[feature] for feature in more))


def code_sections(file: ELFFile) -> Iterator[Any]:
    """Return the sections that hold instructions."""
    return (section for section in file.iter_sections() if section["sh_flags"] & _EXECUTABLE)


def _shape(instruction: Instruction) -> tuple[int, ...]:
    parts = [instruction.code, int(instruction.has_lock_prefix)]
    for index in range(instruction.op_count):
        kind = instruction.op_kind(index)
        parts.append(OpKind.NEAR_BRANCH64 if kind in BRANCHES else kind)
        parts.append(instruction.op_register(index) if kind == OpKind.REGISTER else Register.NONE)
    parts += [instruction.memory_base, instruction.memory_index, instruction.memory_index_scale]
    return tuple(parts)
