"""The engines take any contract: a tiny one goes through all of them, and broken modules are rejected."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest

from frame_harness.base.errors import BootError, HarnessError
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.guest.booted import BootedGuest
from frame_harness.guest.command_table import require_commands
from frame_harness.image.build import build
from frame_harness.image.cargo import image_invocation
from frame_harness.image.errors import CompileError
from frame_harness.image.subject import Subject
from frame_harness.image.toolchain import find_toolchain
from frame_harness.judge.baseline import EMPTY
from frame_harness.judge.evidence import Evidence, LayoutEvidence, Outcome, Witness
from frame_harness.judge.exit_codes import VerdictKind
from frame_harness.judge.judgement import ClauseOutcome
from frame_harness.judge.verdict import Verdict
from frame_harness.machine.definition import load_machine
from frame_harness.memory_core.contract import MEMORY_CORE
from frame_harness.report.terminal import console_for, print_report
from frame_harness.session.preflight import prepare
from frame_harness.session.run import Run
from tests.support.mutants import Edit, apply, kept
from tests.tiny_contract.contract import HERE, TINY
from tests.tiny_contract.judge import RUN, judge_module

MOST_LINES = 150
ROOT = Path(__file__).resolve().parents[3]
SLOT = HERE / "slot.rs"
ADAPTER = HERE / "adapter.rs"
PAGE = (ROOT / "docs" / "own-contract.md").read_text(encoding="utf-8")
SHOWN_FROM = {"rust": ("slot.rs", "adapter.rs"), "python": ("contract.py",)}


@dataclass(frozen=True)
class Broken:
    """A bug of `slot.rs` with the clause that must be found broken, and the checks that must find it."""

    name: str
    edits: tuple[Edit, ...]
    clause: str
    checks: frozenset[str]
    function: str


BROKEN = (
    Broken(
        "a field is moved",
        (
            ("owner: AtomicU64,\n    turns: AtomicU32,", "turns: AtomicU32,\n    owner: AtomicU64,"),
            ("reserved: [u8; 20]", "reserved: [u8; 16]"),
            ("reserved: [0; 20]", "reserved: [0; 16]"),
        ),
        "TINY-01",
        frozenset({"layout"}),
        "TinySlot",
    ),
    Broken(
        "owners are compared in 32 bits",
        (("assert!(owner != NOBODY,", "assert!(owner as u32 != NOBODY as u32,"),),
        "TINY-04",
        frozenset({"boundaries[put]", "history[TINY-04]"}),
        "TinySlot::put",
    ),
    Broken(
        "the one who asks is told to hold the slot",
        (("Ordering::Acquire)?;", "Ordering::Acquire).map_err(|_| owner)?;"),),
        "TINY-03",
        frozenset({"boundaries[take-held]", "a_second_owner_is_refused", "history[TINY-03]"}),
        "TinySlot::take",
    ),
    Broken(
        "the kernel holds slot 0, and nobody took it",
        (
            (
                'TABLE[0].take(KERNEL).expect("slot 0 is free at start");',
                "TABLE[0].owner.store(KERNEL, Ordering::Release);",
            ),
        ),
        "TINY-07",
        frozenset({"table[held slots were taken]", "preflight::held slots were taken"}),
        "subject::init",
    ),
    Broken(
        "the last slot is the kernel's, too",
        (("TABLE[0].take(KERNEL)", "TABLE[0].take(KERNEL).and(TABLE[SLOTS - 1].take(KERNEL))"),),
        "TINY-08",
        frozenset(
            {"table[the kernel alone holds at start]", "preflight::the kernel alone holds at start"}
        ),
        "subject::init",
    ),
    Broken(
        "whoever takes the slot that was put last is not counted",
        (
            ("impl TinySlot {\n", "static LAST: AtomicU64 = AtomicU64::new(0);\n\nimpl TinySlot {\n"),
            (
                "        self.turns.fetch_add(1, Ordering::Relaxed);\n",
                "        if LAST.swap(0, Ordering::Relaxed) != self as *const Self as u64 {\n"
                "            self.turns.fetch_add(1, Ordering::Relaxed);\n"
                "        }\n",
            ),
            (
                "        owner\n    }",
                "        LAST.store(self as *const Self as u64, Ordering::Relaxed);\n        owner\n    }",
            ),
        ),
        "TINY-06",
        frozenset({"history[TINY-06]"}),
        "TinySlot::take",
    ),
)  # fmt: skip


@cache
def judged(broken: Broken | None) -> tuple[Path, Evidence, Verdict]:
    """What became of a broken copy, or of the module itself; judged once for all tests."""
    if broken is None:
        return SLOT, *judge_module()
    path = kept(apply(SLOT.read_text(encoding="utf-8"), broken.edits), SLOT.name)
    return path, *judge_module(path)


def report_of(evidence: Evidence, verdict: Verdict) -> str:
    file = io.StringIO()
    print_report(evidence, verdict, EMPTY, console_for(file))
    return file.getvalue()


def test_the_module_that_keeps_the_contract_passes() -> None:
    _, evidence, verdict = judged(None)
    assert verdict.kind is VerdictKind.PASS, report_of(evidence, verdict)
    assert {one.outcome for one in verdict.clauses.values()} == {ClauseOutcome.HELD}
    assert list(verdict.clauses) == list(TINY.clauses)
    assert "PASS: 15 checks, 8 clauses held" in report_of(evidence, verdict)


def test_what_a_contract_says_nothing_of_is_said_not_to_be_evaluated() -> None:
    _, evidence, verdict = judged(None)
    assert len(verdict.unpromised) == 3
    words = "not evaluated  the contract says nothing of it\n  slots as the guest prints them\n"
    assert words in report_of(evidence, verdict)
    assert (FRAME_METADATA.unpromised, MEMORY_CORE.unpromised) == ((), ())


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.name)
def test_a_broken_module_is_rejected_by_the_clause_and_the_checks_that_are_about_it(broken: Broken) -> None:
    _, evidence, verdict = judged(broken)
    report = report_of(evidence, verdict)
    assert verdict.kind is VerdictKind.FAIL, report
    [finding] = verdict.findings
    assert (finding.clause, finding.first.function) == (broken.clause, broken.function), report
    violated = {one.check for one in evidence.checks if one.outcome is Outcome.VIOLATED}
    assert violated == broken.checks, report
    assert f"{broken.clause}   {TINY.clauses[broken.clause].title}" in report
    assert f"in {broken.function}" in report


def prepared(edits: tuple[Edit, ...] = ()) -> Run:
    """A run of a copy of the module, behind the preflight of every session."""
    path = kept(apply(SLOT.read_text(encoding="utf-8"), edits), SLOT.name)
    run = Run(RUN, build(Subject.from_file(path, TINY), RUN.profile), load_machine(RUN.machine))
    prepare(run)
    run.finish_all()
    return run


def test_preflight_finds_nothing_wrong_with_the_module_that_keeps_the_contract() -> None:
    run = prepared()
    assert run.layout == LayoutEvidence(dwarf=Witness.EQUAL, guest_bytes=Witness.EQUAL)
    assert run.selftest.plan == run.selftest.passed > 0
    assert run.invariants == dict.fromkeys(TINY.invariants, 256)
    assert (run.violated, run.ledger().dumps.requested) == ((), 0)


def test_preflight_rejects_a_module_whose_table_is_broken_at_start() -> None:
    broken = next(one for one in BROKEN if one.clause == "TINY-07")
    [found] = prepared(broken.edits).violated
    assert (found.clauses, found.function) == (("TINY-07",), "subject::init")
    assert "expected at least 1 where somebody holds it, got 0" in found.text


def test_preflight_rejects_a_module_that_stores_what_it_is_given_in_other_bytes() -> None:
    edit = (
        "        self.turns.fetch_add(1, Ordering::Relaxed);\n",
        "        self.turns.fetch_add(1, Ordering::Relaxed);\n"
        "        self.owner.store(owner.swap_bytes(), Ordering::Release);\n",
    )
    layout = prepared((edit,)).layout
    assert (layout.dwarf, layout.guest_bytes) == (Witness.EQUAL, Witness.DIFFERS)
    assert layout.text == "take leaves 0x3412000000000000 in bytes 0 to 7 of the slot, expected 0x1234"


def test_preflight_judges_no_invariant_of_slots_that_are_not_the_contract_s() -> None:
    broken = next(one for one in BROKEN if one.clause == "TINY-01")
    run = prepared(broken.edits)
    assert (run.layout.dwarf, run.layout.guest_bytes) == (Witness.DIFFERS, Witness.UNREAD)
    assert (run.invariants, run.violated) == ({}, ())


def test_the_bug_of_a_sequence_is_shown_in_as_few_calls_as_it_takes() -> None:
    _, _, verdict = judged(BROKEN[-1])
    words = [line.split()[:2] for line in verdict.findings[0].first.commands]
    assert [command for command, _ in words][-2:] == ["slot.put", "slot.take"]
    assert len(words) <= 3
    assert len({paddr for _, paddr in words}) == 1, "of one slot"


def test_a_guest_of_another_contract_is_a_guest_like_any_other() -> None:
    image = build(Subject.builtin(TINY), "release")
    with BootedGuest.boot(image, load_machine("microvm"), init="none") as guest:
        assert guest.call("selftest")["failed"] == 0
        assert {region.kind for region in guest.memory_map()} >= {"ram", "kernel"}
        with pytest.raises(BootError, match="does not exist yet"):
            guest.slots()


def test_the_rust_side_is_small() -> None:
    lines = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in (SLOT, ADAPTER))
    assert lines <= MOST_LINES


def test_an_edit_of_the_adapter_makes_another_image(tmp_path: Path) -> None:
    adapter = tmp_path / "adapter.rs"
    text = ADAPTER.read_text(encoding="utf-8")
    subject = Subject.builtin(replace(TINY, adapter=str(adapter)))

    def built(with_text: str) -> str:
        adapter.write_text(with_text, encoding="utf-8")
        return build(subject, "release").sha256

    first = built(text)
    assert built(text.replace("how often a slot was taken", "how many times")) != first
    assert built(text) == first


def test_an_adapter_that_does_not_compile_is_told_with_the_compiler_s_words(tmp_path: Path) -> None:
    adapter = tmp_path / "adapter.rs"
    adapter.write_text(ADAPTER.read_text(encoding="utf-8").replace("pub fn start", "pub fn begin"), "utf-8")
    with pytest.raises(CompileError, match="cannot find function `start`"):
        build(Subject.builtin(replace(TINY, adapter=str(adapter))), "release")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            '"<paddr> <owner>"',
            '"<paddr> <turns>"',
            "slot.take: expected '<paddr> <owner>', got '<paddr> <turns>'",
        ),
        ('"slot.put"', '"slot.give"', "slot.put: expected a command of the guest, got none of that name"),
    ],
    ids=["another operand", "another name"],
)
def test_commands_of_the_guest_that_are_not_the_contract_s_are_told(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    adapter = tmp_path / "adapter.rs"
    adapter.write_text(ADAPTER.read_text(encoding="utf-8").replace(old, new), "utf-8")
    image = build(Subject.builtin(replace(TINY, adapter=str(adapter))), "release")
    with (
        BootedGuest.boot(image, load_machine("microvm"), init="none") as guest,
        pytest.raises(HarnessError, match=re.escape(f"command table: {message}")),
    ):
        require_commands(guest, TINY)


def test_frame_metadata_is_built_as_if_there_were_no_adapters() -> None:
    toolchain = find_toolchain()
    frame = image_invocation(Subject.builtin(FRAME_METADATA), "release", toolchain)
    tiny = image_invocation(Subject.builtin(TINY), "release", toolchain)
    assert tiny.settings.keys() - frame.settings.keys() == {"FRAME_RS", "FRAME_HARNESS_ADAPTER"}
    assert "ADAPTER" not in frame.told


def blocks(language: str) -> list[str]:
    """What the tutorial shows in one language."""
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", PAGE)


@pytest.mark.parametrize("language", SHOWN_FROM)
def test_code_in_the_tutorial_is_that_of_the_files(language: str) -> None:
    texts = [(HERE / name).read_text(encoding="utf-8") for name in SHOWN_FROM[language]]
    assert blocks(language)
    assert [block for block in blocks(language) if not any(block in text for text in texts)] == []


def test_output_in_the_tutorial_is_what_is_printed() -> None:
    def without_times(text: str) -> str:
        return re.sub(r" +\d+\.\d s", " … s", text)

    printed = []
    for broken in (None, *BROKEN):
        path, evidence, verdict = judged(broken)
        printed.append(without_times(report_of(evidence, verdict).replace(str(path), path.name)))
    assert len(blocks("text")) == 5
    shown = map(without_times, blocks("text"))
    assert [block for block in shown if not any(block in text for text in printed)] == []


def test_every_name_of_the_adapter_s_interface_is_in_the_tutorial() -> None:
    main = (ROOT / "kernel_shim" / "src" / "main.rs").read_text(encoding="utf-8")
    used = set(re.findall(r"adapter::(\w+)", main))
    assert used == set(re.findall(r"(?m)^\| `(\w+)(?:\(\w+\))?` \| (?:sets|the tables|frees)", PAGE))
