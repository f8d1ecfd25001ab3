"""Checks the memory orderings of a subject in what the compiler makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from frame_harness.base.commands import Say
from frame_harness.base.errors import HarnessError
from frame_harness.contract.contract import Contract
from frame_harness.image.compiler import Toolchain
from frame_harness.image.errors import ImageError
from frame_harness.image.ir_build import compile_ir, target_of
from frame_harness.image.offer import lacking_names
from frame_harness.image.placed import is_part_of
from frame_harness.image.subject import Subject
from frame_harness.image.toolchain import find_toolchain
from frame_harness.orderings.assembler import Assemble, assembler, without
from frame_harness.orderings.demands import OrderingRules
from frame_harness.orderings.events import Function, Path
from frame_harness.orderings.ir_paths import PathError, Walker
from frame_harness.orderings.llvm_ir import Module
from frame_harness.orderings.report import Compiled, OrderingReport
from frame_harness.orderings.rules import judge


class BlindChecker(HarnessError):
    """The checker did not judge its canary right, so its word about a subject counts for nothing."""


def check_orderings(
    subject: Subject,
    profile: str,
    rules: OrderingRules,
    toolchain: Toolchain | None = None,
    *,
    say: Say | None = None,
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
    proofs = prove(toolchain, profile, subject.contract, rules)
    lacks = lacking_names(subject, profile, toolchain, say=say)
    text = compile_ir(subject, profile, toolchain, say=say)
    assemble = assembler(toolchain, target_of(toolchain, say))
    compiled = read_compiled(text, str(subject.path), subject.contract, rules, assemble, lacks)
    return replace(judge(compiled, rules, subject.contract.versions), proofs=proofs)


def read_compiled(
    text: str,
    file: str,
    contract: Contract,
    rules: OrderingRules,
    assemble: Assemble = without,
    lacks: Sequence[str] = (),
) -> Compiled:
    """Return what the functions of a source file do according to a module's LLVM IR.

    Args:
        file: the source, as debug metadata names it.
        assemble: without, no assembly is understood.
        lacks: names that this version of the source has not.
    """
    today, *older = contract.versions.slot
    if today in lacks:
        # The judge knows the type of a slot by today's name; names stand in debug metadata alone.
        for name in older:
            text = text.replace(f'name: "{name}"', f'name: "{today}"')
    module = Module(text)
    walker = Walker(module, file, contract.slot, assemble)
    there = set(walker.functions())
    functions, unread = dict[str, Function](), dict[str, str]()
    for name in rules.functions:
        if name in there:
            try:
                functions[name] = walker.function(name)
            except (PathError, ImageError) as error:
                unread[name] = str(error).splitlines()[0]
    walks, unwalked = dict[str, tuple[Path, ...]](), dict[str, str]()
    for name, walk in rules.walks.items():
        walks[name] = ()
        if walk.function in functions:
            try:
                walks[name] = walker.function(walk.function, owned=walk.owned, outdated=walk.outdated).paths
            except (PathError, ImageError) as error:
                unwalked[walk.function] = str(error).splitlines()[0]
    return Compiled(
        functions=functions,
        walks=walks,
        file=file,
        unread=unread,
        unwalked=unwalked,
        places={
            program.name: (program.file, program.line)
            for program in module.subprograms.values()
            if is_part_of(program.file, file)
        },
        lacks=frozenset(lacks),
    )


@cache
def prove(toolchain: Toolchain, profile: str, contract: Contract, rules: OrderingRules) -> tuple[str, ...]:
    """Judge two canaries, compiled in this very process, and return what they showed.

    Raises:
        BlindChecker: a sound module was found guilty, or a broken one was not.
    """
    canary = Subject.from_file(rules.canary.source, contract)
    proofs = []
    for weak in (False, True):
        text = compile_ir(canary, profile, toolchain, flags=("--cfg=weak",) if weak else ())
        compiled = read_compiled(text, str(canary.path), contract, rules)
        seen = {
            (v.clause, v.function)
            for v in judge(compiled, rules, contract.versions).violations
            if v.function in compiled.functions
        }
        expected = rules.canary.must_see if weak else frozenset()
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
