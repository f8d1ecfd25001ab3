"""Proves that no narrow value, short loop or special index of the frame module passes the checks.

Each bug is awake alone. The two that a user met first, a scan that ends at order 10 and a count that
saturates at 16 bits, are among those that `test_mutants` puts through a whole `check`, too.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from frame_harness.frame_metadata.subject import frame_module
from frame_harness.image.build import build
from frame_harness.image.image import Image
from frame_harness.judge.exit_codes import ExitCode, VerdictKind
from tests.support.bug_checks import Call, checks_of, rejections
from tests.support.bugs import Bug, BugError, generate, leftovers
from tests.support.doors import check
from tests.support.frame_mutants import MUTANTS
from tests.support.mutants import broken_here, kept
from tests.support.red_kernels import red_shim

TEXT = frame_module().path.read_text(encoding="utf-8")
GENERATED = generate(TEXT)

IN_32_BITS = "the table of 2^32 frames is that of 16 TiB of RAM, which is no machine of ours"
LOW_BITS = "the flags that it is asked for are bits 0 and 1"
NO_ROUND_LEFT = "frame 0 and the table itself are never free, so memory is out before the rounds are"
POISONED_AGAIN = "make_live marks the frame again, before anybody else can have it"
HAS_FLAG = "has_flag: `self.get_flags() & flag == flag`"

# Bugs that no kernel built around the module can tell from none, with the reason.
EQUIVALENT = {
    f"{HAS_FLAG}, left side in 8 bits": LOW_BITS,
    f"{HAS_FLAG}, left side in 16 bits": LOW_BITS,
    f"{HAS_FLAG}, right side in 8 bits": LOW_BITS,
    f"{HAS_FLAG}, right side in 16 bits": LOW_BITS,
    "mark_poisoned: operand of flags in 16 bits": "the flag is bit 12",
    "migratetype: `match` in 16 bits": "the flag is bit 13",
    "begin_epoch_unless_poisoned: operand of guard in 8 bits": POISONED_AGAIN,
    "begin_epoch_unless_poisoned: operand of guard in 16 bits": POISONED_AGAIN,
    "allocate: one round less": NO_ROUND_LEFT,
    "allocate: begins at the second round": NO_ROUND_LEFT,
    "allocate: load of METADATA_FRAME_COUNT in 32 bits": IN_32_BITS,
    "init_metadata_array: store to METADATA_FRAME_COUNT in 32 bits": IN_32_BITS,
    "get_meta_slot: load of METADATA_FRAME_COUNT in 32 bits": IN_32_BITS,
    "get_meta_slot: `pfn < frames`, right side in 32 bits": IN_32_BITS,
    "fill_table: `done < count`, left side in 32 bits": IN_32_BITS,
    "fill_table: `done < count`, right side in 32 bits": IN_32_BITS,
}  # fmt: skip


@pytest.fixture(scope="module")
def image() -> Image:
    with red_shim():
        return build(frame_module(str(kept(GENERATED.text))), "release")


@pytest.mark.parametrize(
    "bug", [bug for bug in GENERATED.bugs if bug.name not in EQUIVALENT], ids=lambda bug: bug.name
)
def test_bug_is_rejected(image: Image, bug: Bug) -> None:
    machine, calls = checks_of(bug)
    assert calls, f"no check is declared for {bug.function}"
    seen = rejections(image, bug, machine, calls)
    assert any(rejected for _, rejected in seen), f"{bug.name}: every check passed"


STEP = "what is stored is what `step` makes"
# Lines with a place that no pattern takes, with the reason.
WITHOUT_A_BUG = {
    "if let Err(found) = self.refcount.fetch_update(Relaxed, Relaxed, step) {": STEP,
    "match self.refcount.fetch_update(Release, Relaxed, step) {": STEP,
    "self.fetch_or_guard(meta_guard::POISONED);": "the method has the bug",
    "METADATA_BASE_VIRT.store(0, Release);": "0 has no width",
    "METADATA_FRAME_COUNT.store(0, Release);": "0 has no width",
    "self == Self::PageTable": "no number",
    "unsafe { table.copy_to_nonoverlapping(rest, step) };": "its bound is that of the loop",
    "match self.try_vtable_ref() {": "no number",
    "| match self {": "no number",
    "match frame.successor() {": "no number",
}


def test_no_value_loop_or_comparison_of_the_module_is_left_out() -> None:
    assert set(leftovers(TEXT, GENERATED)) == set(WITHOUT_A_BUG)


def test_a_new_value_is_not_left_out_unseen() -> None:
    """A comparison that the generator does not know stops it; a store in a new form is left over."""
    other = TEXT.replace("if frame > self.end {", "if frame.start_address >= self.end.start_address {")
    with pytest.raises(BugError, match="a comparison of unknown width"):
        generate(other)
    other = TEXT.replace("self.order.store(order, Release)", "self.order.swap(order, Release);")
    assert "self.order.swap(order, Release);" in leftovers(other, generate(other))


def test_equivalent_bugs_are_bugs_of_the_module() -> None:
    names = [bug.name for bug in GENERATED.bugs]
    assert len(names) == len(set(names))
    assert EQUIVALENT.keys() - set(names) == set()


def test_a_module_whose_bugs_are_all_asleep_passes(image: Image) -> None:
    """Else what rejects them says nothing."""
    of_machine: dict[str, dict[str, Call]] = {}
    for machine, calls in map(checks_of, GENERATED.bugs):
        of_machine.setdefault(machine, {}).update({repr(call): call for call in calls})
    for machine, once in of_machine.items():
        found = [seen for seen in rejections(image, None, machine, tuple(once.values())) if seen[1]]
        assert found == []


def test_a_table_that_begins_at_an_odd_multiple_of_64_takes_a_check_of_its_own(tmp_path: Path) -> None:
    """The boot allocator gives whole frames unless it is told otherwise: no other check can tell."""
    [bug] = [mutant for mutant in MUTANTS if mutant.name == "a table at multiples of 128 alone"]
    checks = ("--profile", "release", "-n", "1", "-k", "ARRAY or test_slot_method_at_the_boundaries")
    result = check(tmp_path, "--frame-rs", broken_here(bug.edits), "--machine", "microvm", *checks)
    assert (result.status, result.kind, result.survivors) == (ExitCode.FAIL, VerdictKind.FAIL, ()), result.out
    failed = {name for found in result.report["findings"] for name in found["checks"]}
    assert failed == {"test_v_array.py::test_table_at_each_address_that_its_alignment_allows"}
