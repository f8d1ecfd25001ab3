"""Compares the orderings in a whole kernel with those of the subject compiled alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from frame_harness.base import resources
from frame_harness.base.commands import Say
from frame_harness.base.errors import HarnessError
from frame_harness.contract.layout import StructLayout
from frame_harness.image import cache_limit, store
from frame_harness.image.asked import asked
from frame_harness.image.cargo import shim_invocation
from frame_harness.image.compiler import TARGET, Toolchain
from frame_harness.image.errors import CompileError, ImageError
from frame_harness.image.ir_build import compile_ir, evidence_ir, target_of
from frame_harness.image.ir_proof import prove_ir
from frame_harness.image.offer import lacking_names
from frame_harness.image.placed import is_part_of
from frame_harness.image.subject import Subject
from frame_harness.orderings.assembler import Assemble, assembler, without
from frame_harness.orderings.demands import OrderingRules
from frame_harness.orderings.events import AccessOp, MemoryOrder
from frame_harness.orderings.ir_paths import PathError, Walker
from frame_harness.orderings.llvm_ir import CompiledFunction, Module
from frame_harness.orderings.report import OrderingViolation

_KINDS: Final = {
    "load": "load",
    "store": "store",
    "atomicrmw": "update",
    "cmpxchg": "update",
    "fence": "fence",
}


@dataclass(frozen=True)
class AtomicSite:
    """One atomic access as written in the subject: where, what, how strong."""

    function: str
    line: int
    kind: str
    order: str
    failure: str

    def __str__(self) -> str:
        orders = [MemoryOrder(order).shown for order in (self.order, self.failure) if order]
        return f"{self.kind} {'/'.join(orders)}"


@dataclass(frozen=True)
class Agreement:
    """What a whole kernel has of a subject's atomic accesses."""

    instructions: int
    """Atomic instructions of the kernel that come from the subject, inlined copies included."""
    sites: int
    """Places of the subject's source that they come from."""
    violations: tuple[OrderingViolation, ...]
    """Places where the kernel has another ordering than the subject compiled alone."""


def check_shipped(
    subject: Subject, profile: str, rules: OrderingRules, toolchain: Toolchain, *, say: Say | None = None
) -> Agreement:
    """Compile the shim around a subject as it is shipped, to LLVM IR; compare each call site's orderings.

    The crate, its flags, its profile are those of the image. It is one codegen unit, since LLVM IR is written
    for all of a crate: an incremental build may inline other functions, which touches no ordering.

    Raises:
        CompileError: it does not compile.
        ImageError: the kernel has no atomic access of the subject, so there is nothing to compare.
    """
    file = str(subject.path)
    alone = Module(compile_ir(subject, profile, toolchain, say=say))
    assemble = assembler(toolchain, target_of(toolchain, say))
    kernel = Module(_whole_kernel(subject, profile, toolchain, say))
    return compare(kernel, alone, file, subject.contract.slot, rules, assemble)


def compare(
    kernel: Module,
    alone: Module,
    file: str,
    slot: StructLayout,
    rules: OrderingRules,
    assemble: Assemble = without,
) -> Agreement:
    """Compare the atomic accesses of a source file in two modules.

    Args:
        assemble: without, no assembly is understood, in neither.
    Raises:
        ImageError: the first module has none.
    """
    expected: dict[tuple[str, int, str], set[AtomicSite]] = {}
    fields: dict[tuple[str, int], str] = {}
    for site, field in _walked(alone, file, slot, assemble):
        expected.setdefault((site.function, site.line, site.kind), set()).add(site)
        fields[site.function, site.line] = field
    for site in _written(alone, file):
        expected.setdefault((site.function, site.line, site.kind), set()).add(site)
    found = [*_written(kernel, file), *(site for site, _ in _walked(kernel, file, slot, assemble))]
    if not found:
        raise ImageError(f"kernel: {file}: expected atomic accesses that come from it, got none")
    violations = []
    for site in dict.fromkeys(found):
        same_place = expected.get((site.function, site.line, site.kind), set())
        if site not in same_place:
            wanted = ", ".join(sorted(map(str, same_place))) or "no such access, as in the subject alone"
            field = fields.get((site.function, site.line), "")
            clause = rules.clause_of_field.get(field, rules.clause_of_statics)
            consequence = "the image does something else than what was judged"
            violations.append(
                OrderingViolation(clause, site.function, "", wanted, str(site), file, site.line, consequence)
            )
    return Agreement(len(found), len(set(found)), tuple(violations))


def _written(module: Module, file: str) -> Iterator[AtomicSite]:
    """Yield every atomic instruction that was inlined from, or stands in, a function of the file."""
    for function in module.functions.values():
        if function.has_atomics:
            yield from _in(module, function, file)


def _in(module: Module, function: CompiledFunction, file: str) -> Iterator[AtomicSite]:
    for block in function.blocks.values():
        for instruction in block.instructions:
            if instruction.op not in _KINDS or instruction.order == "na":
                continue
            places = (
                place
                for place in module.debug.places(instruction.dbg)
                if is_part_of(place.file, file) and place.line
            )
            place = next(places, None)
            if place is not None:
                kind = _KINDS[instruction.op]
                yield AtomicSite(place.function, place.line, kind, instruction.order, instruction.failure)


def _walked(
    module: Module, file: str, slot: StructLayout, assemble: Assemble
) -> Iterator[tuple[AtomicSite, str]]:
    """Yield the atomic accesses of the file's own functions, those in functions they call included."""
    walker = Walker(module, file, slot, assemble)
    for name in walker.functions():
        try:
            function = walker.function(name)
        except (PathError, ImageError):
            continue  # the instructions themselves are still compared
        for access in function.accesses():
            if access.trail and access.order.atomic and access.op is not AccessOp.CALL:
                kind = "update" if access.is_update else str(access.op)
                first = access.trail[0]
                failure = access.failure or ""
                yield (
                    AtomicSite(first.function, first.line, kind, str(access.order), str(failure)),
                    access.item,
                )


def _whole_kernel(subject: Subject, profile: str, toolchain: Toolchain, say: Say | None) -> str:
    folder = resources.build_dir() / "ir" / "shim" / toolchain.key
    out = folder / f"{profile}.ll"
    lacks = lacking_names(subject, profile, toolchain, say=say)
    shaped = shim_invocation("rustc", subject, profile, folder, toolchain, "--", f"--emit=llvm-ir={out}")
    order = shaped.lacking(lacks)
    with store.locked(f"ir-shim-{toolchain.key}-{profile}", say=say), cache_limit.used(folder):
        # The same path each time: another one would be another build for cargo.
        finished = order.run(what=f"compiling the shim around {subject.name} to LLVM IR", say=say)
        if finished.status != 0:
            first, said = finished.last_words(), finished.err.strip()
            raise CompileError(subject=subject.name, profile=profile, first=first, rendered=said)
        try:
            text = out.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError as error:
            raise HarnessError("LLVM IR", str(out), expected="a file", actual=str(error.strerror)) from error
        cache_limit.trim()
    wanted = asked(profile)
    which = f"LLVM IR of the shim around {subject.name} ({profile})"
    prove_ir(text, which, wanted, lambda: evidence_ir(wanted, toolchain, TARGET))
    return text
