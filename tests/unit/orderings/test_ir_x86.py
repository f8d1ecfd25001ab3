"""Shows which ways through assembly are walked."""

from __future__ import annotations

import pytest

from frame_harness.frame_metadata.layouts import META_SLOT
from frame_harness.orderings import ir_x86
from frame_harness.orderings.assembler import BEGIN, Assembled, CodeSection
from frame_harness.orderings.events import AccessOp, Function
from frame_harness.orderings.ir_paths import Walker
from tests.support.ir_by_hand import FILE, module

# Given rax with the address of refcount.
SPIN = "833800 7404 f390 ebf7"
"""`2: cmp dword ptr [rax], 0; je 3f; pause; jmp 2b; 3:`"""


def run(code: str, register: str = "ax") -> Function:
    machine_code = bytes.fromhex(code)

    def assemble(_: str, intel: bool) -> Assembled:
        assert intel
        symbols = {BEGIN: (1, 0), f"{BEGIN}_end": (1, len(machine_code))}
        return Assembled({1: CodeSection(machine_code, {})}, symbols)

    body = (
        "  %p = getelementptr inbounds nuw i8, ptr %self, i64 32\n"
        f'  call void asm sideeffect inteldialect "x", "{{{register}}},~{{memory}}"(ptr %p)\n  ret void'
    )
    return Walker(module(body), FILE, META_SLOT, assemble).function("MetaSlot::f")


def test_a_spin_loop_is_walked_for_a_few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ir_x86, "MAX_STEPS", 50)
    paths = run(SPIN).paths
    assert {path.end for path in paths} == {"return", "cut"}
    assert max(len(path.accesses) for path in paths) == 3


def test_an_access_that_only_many_rounds_lead_to_is_not_understood() -> None:
    # mov ecx, 9; 2: cmp dword ptr [rax], 0; je 3f; dec ecx; jnz 2b; mov dword ptr [rax], 7; 3:
    (access,) = {one for path in run("b909000000 833800 740a ffc9 75f7 c70007000000").paths for one in path}
    assert access.op is AccessOp.OPAQUE
    assert "`mov dword ptr [rax],7` comes after more rounds of a loop than are walked" in access.item


def test_a_result_that_only_many_rounds_lead_to_is_no_access() -> None:
    # mov ecx, 9; 2: cmp dword ptr [rax], 0; je 3f; dec ecx; jnz 2b; mov ecx, 7; 3:
    paths = run("b909000000 833800 7409 ffc9 75f7 b907000000").paths
    assert AccessOp.OPAQUE not in {one.op for path in paths for one in path}


def test_too_many_ways_are_not_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ir_x86, "MAX_WAYS", 60)
    look = "833800 7400"  # cmp dword ptr [rax], 0; je 2f; 2:
    assert AccessOp.OPAQUE not in {one.op for path in run(look * 5).paths for one in path}
    (access,) = {one for path in run(look * 6).paths for one in path}
    assert access.op is AccessOp.OPAQUE and "more than 60 ways" in access.item


def test_two_special_registers_may_differ() -> None:
    # mov rax, cr2; mov rbx, cr3; cmp rax, rbx; je 2f; mov dword ptr [rdi], 7; 2:
    paths = run("0f20d0 0f20db 4839d8 7406 c70707000000", "di").paths
    assert sorted([one.item for one in path] for path in paths) == [[], ["refcount"]]
