"""Checks the memory orderings of a subject in what the compiler makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Final

from frame_harness.base.commands import Say
from frame_harness.base.errors import HarnessError
from frame_harness.contract.contract import Contract
from frame_harness.frame_metadata.orderings.table import DEC_REF, FUNCTIONS
from frame_harness.image.compiler import Toolchain
from frame_harness.image.errors import ImageError
from frame_harness.image.ir_build import compile_ir, target_of
from frame_harness.image.offer import lacking_names
from frame_harness.image.placed import is_part_of
from frame_harness.image.subject import Subject
from frame_harness.image.toolchain import find_toolchain
from frame_harness.orderings.assembler import Assemble, assembler, without
from frame_harness.orderings.events import Function
from frame_harness.orderings.ir_paths import PathError, Walker
from frame_harness.orderings.llvm_ir import Module
from frame_harness.orderings.report import Compiled, OrderingReport
from frame_harness.orderings.rules import judge

CANARY: Final = Path(__file__).parents[1] / "frame_metadata" / "orderings" / "ir_canary.rs"
# What the checker must see in the canary when it is weakened; and nothing when it is not.
MUST_SEE: Final = frozenset(
    {
        ("REF-08", "MetaSlot::get_refcount"),
        ("REF-09", "MetaSlot::dec_ref"),
        ("ARRAY-12", "init_metadata_array"),
        ("ALLOC-12", "FrameAllocOptions::allocate"),
        ("ALLOC-16", "FrameAllocOptions::allocate"),
    }
)


class BlindChecker(HarnessError):
    """The checker did not judge its canary right, so its word about a subject counts for nothing."""


def check_orderings(
    subject: Subject, profile: str, toolchain: Toolchain | None = None, *, say: Say | None = None
) -> OrderingReport:
    """Judge the ordering clauses of a subject as its file is now.

    Args:
        profile: `dev` or `release`: the same code with debug assertions and overflow checks, or without.
    Raises:
        BuildError: it does not compile.
        BlindChecker: the checker failed on its own canary.
        ImageError: the compiled code has no `MetaSlot`.
    """
    toolchain = toolchain or find_toolchain(say=say)
    proofs = prove(toolchain, profile, subject.contract)
    lacks = lacking_names(subject, profile, toolchain, say=say)
    text = compile_ir(subject, profile, toolchain, say=say)
    assemble = assembler(toolchain, target_of(toolchain, say))
    compiled = read_compiled(text, str(subject.path), assemble, lacks)
    return replace(judge(compiled, subject.contract.versions), proofs=proofs)


def read_compiled(text: str, file: str, assemble: Assemble = without, lacks: Sequence[str] = ()) -> Compiled:
    """Return what the functions of a source file do according to a module's LLVM IR.

    Args:
        file: the source, as debug metadata names it.
        assemble: without, no assembly is understood.
        lacks: names that this version of the source has not.
    """
    if "MetaSlot" in lacks:
        # The judge knows the type of a slot by today's name; names stand in debug metadata alone.
        text = text.replace('name: "FrameMeta"', 'name: "MetaSlot"')
    module = Module(text)
    walker = Walker(module, file, assemble)
    there = set(walker.functions())
    functions, unread = dict[str, Function](), dict[str, str]()
    for name in FUNCTIONS:
        if name in there:
            try:
                functions[name] = walker.function(name)
            except (PathError, ImageError) as error:
                unread[name] = str(error).splitlines()[0]
    drops = [
        walker.function(DEC_REF, owned={"refcount": n}).paths if DEC_REF in functions else () for n in (2, 1)
    ]
    return Compiled(
        functions=functions,
        earlier_drop=drops[0],
        last_drop=drops[1],
        file=file,
        unread=unread,
        places={
            program.name: (program.file, program.line)
            for program in module.subprograms.values()
            if is_part_of(program.file, file)
        },
        lacks=frozenset(lacks),
    )


@cache
def prove(toolchain: Toolchain, profile: str, contract: Contract) -> tuple[str, ...]:
    """Judge two canaries, compiled in this very process, and return what they showed.

    Raises:
        BlindChecker: a sound module was found guilty, or a broken one was not.
    """
    canary = Subject.from_file(CANARY, contract)
    proofs = []
    for weak in (False, True):
        text = compile_ir(canary, profile, toolchain, flags=("--cfg=weak",) if weak else ())
        compiled = read_compiled(text, str(canary.path))
        seen = {
            (v.clause, v.function)
            for v in judge(compiled, contract.versions).violations
            if v.function in compiled.functions
        }
        expected = MUST_SEE if weak else frozenset()
        if not (seen >= expected and (weak or not seen)):
            wanted = ", ".join(sorted(" in ".join(pair) for pair in expected)) or "nothing"
            raise BlindChecker(
                "ordering checker",
                f"{'weakened' if weak else 'sound'} canary ({profile})",
                expected=wanted,
                actual=", ".join(sorted(" in ".join(pair) for pair in seen)) or "nothing",
                next_step="the compiler's output changed: see harness/frame_harness/orderings/llvm_ir.py",
            )
        kind = f"weakened canary: {len(expected)} of {len(expected)} caught" if weak else "sound canary: held"
        proofs.append(f"{kind} ({profile}, rustc {toolchain.release})")
    return tuple(proofs)
