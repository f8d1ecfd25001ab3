"""Reads the instructions of an ELF file."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from elftools.elf.elffile import ELFFile
from iced_x86 import Code, CpuidFeature, Decoder, FlowControl, Instruction, OpKind, Register

from frame_harness.base.units import Vaddr
from frame_harness.image.elf import open_elf, reading
from frame_harness.image.errors import ImageError
from frame_harness.image.symbols import STT_FUNC, ElfSymbol, symbols_of

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
        functions = [one for one in symbols_of(file) if one.kind == STT_FUNC and one.name in names]
        # Of several of one name the first counts.
        found = {
            one.name: _code(file, one, one.section) for one in reversed(functions) if one.section is not None
        }
    if missing := sorted(set(names) - found.keys()):
        raise ImageError(f"{path}", "function", expected=missing[0], actual="none of that name")
    return found


def _code(file: ELFFile, symbol: ElfSymbol, section_index: int) -> bytes:
    section = file.get_section(section_index)
    start = symbol.vaddr - section["sh_addr"]
    return bytes(section.data()[start : start + symbol.size])


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
    # What an instruction needs follows from its code, save for AVX; a code that is fine need not be asked for
    # again. Compilers write `rep bsf` where older CPUs, which run `bsf`, give the same.
    known = {Code.TZCNT_R16_RM16, Code.TZCNT_R32_RM32, Code.TZCNT_R64_RM64}
    for section in code_sections(open_elf(path)):
        for instruction in Decoder(64, section.data(), ip=section["sh_addr"]):
            if instruction.code not in known:
                more = [feature for feature in instruction.cpuid_features() if feature not in _BASELINE]
                if more:
                    yield Foreign(Vaddr(instruction.ip), tuple(_NAMES[feature] for feature in more))
                else:
                    known.add(instruction.code)


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
