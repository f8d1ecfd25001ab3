"""Proves that a file which cannot be judged, or has another layout, is never a pass."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from frame_harness.frame_metadata.subject import frame_module
from frame_harness.judge.exit_codes import ExitCode, VerdictKind
from tests.support.crossed_mutants import ENABLES_INTERRUPTS, INTERRUPTS_OF_A_SLOT, KNOWS_THE_WINDOW
from tests.support.doors import announced, check, close_check, open_check, open_pytest, write_machine
from tests.support.history_mutants import KEEPS_POISONED
from tests.support.mutants import Edit, broken_here, mutated
from tests.support.same_place import same_place

ONE_CHECK = ("--profile", "release", "-n", "1", "-k", "CONST-01")
LAYOUT = ("--profile", "release", "-n", "1", "-k", "LAYOUT-02")

SWAPPED: tuple[Edit, ...] = (
    ("    pub guard: atomic::AtomicU32,", "    pub kept: atomic::AtomicU32,"),
    ("    pub meta_aux: atomic::AtomicU32,", "    pub guard: atomic::AtomicU32,"),
    ("    pub kept: atomic::AtomicU32,", "    pub meta_aux: atomic::AtomicU32,"),
    ("offset_of!(MetaSlot, guard) == 40", "offset_of!(MetaSlot, guard) == 44"),
    ("offset_of!(MetaSlot, meta_aux) == 44", "offset_of!(MetaSlot, meta_aux) == 40"),
)
WIDENED: tuple[Edit, ...] = (
    ("    pub order: atomic::AtomicU8,\n    _reserved0: [u8; 3],", "    pub order: atomic::AtomicU32,"),
    ("            order: atomic::AtomicU8::new(0),\n            _reserved0: [0; 3],",
     "            order: atomic::AtomicU32::new(0),"),
    ("const _: () = assert!(offset_of!(MetaSlot, _reserved0) == 29);\n", ""),
    ("self.order.load(Acquire)", "self.order.load(Acquire) as u8"),
    ("self.order.store(order, Release)", "self.order.store(order as u32, Release)"),
)  # fmt: skip


PICKY: Edit = (
    "        self.order.store(order, Release)\n",
    '        assert!(order <= 11, "order {order} is too large");\n        self.order.store(order, Release)\n',
)
KERNEL_S_ONLY: Edit = (
    "        self.guard.fetch_and(meta_guard::POISONED, AcqRel);\n",
    "        self.guard.fetch_and(meta_guard::POISONED, AcqRel);\n"
    "        self.guard.fetch_or(meta_guard::KERNEL_ONLY, AcqRel);\n",
)
QUIET: tuple[Edit, ...] = (
    (
        "if let Err(found) = self.refcount.fetch_update(Relaxed, Relaxed, step) {\n"
        '            refuse_reference("inc_ref", found)\n        }',
        "let _ = self.refcount.fetch_update(Relaxed, Relaxed, step);",
    ),
    ('Err(found) => refuse_reference("dec_ref", found),', "Err(found) => found,"),
    ("#[cold]\n#[inline(never)]\nfn refuse_reference", "#[allow(dead_code)]\nfn refuse_reference"),
)


def test_reserved_bytes_by_any_other_name_are_no_finding(tmp_path: Path) -> None:
    subject = broken_here(
        (
            ("    _reserved0: [u8; 3],", "    pad_a: [u8; 3],"),
            ("            _reserved0: [0; 3],", "            pad_a: [0; 3],"),
            ("    pub _reserved_tail: [u8; 16],", "    pad_b: u64,\n    pad_c: [u32; 2],"),
            ("            _reserved_tail: [0; 16],", "            pad_b: 0,\n            pad_c: [0; 2],"),
            ("offset_of!(MetaSlot, _reserved0) == 29", "offset_of!(MetaSlot, pad_a) == 29"),
            ("offset_of!(MetaSlot, _reserved_tail) == 48", "offset_of!(MetaSlot, pad_b) == 48"),
        ),
    )
    selection = ("-k", "LAYOUT or test_no_history_breaks_the_clause[ALLOC-09]")
    result = check(
        tmp_path, "--frame-rs", subject, "--profile", "release", "--machine", "microvm", *selection
    )
    assert (result.status, result.kind) == (ExitCode.PASS, VerdictKind.PASS), result.out


def test_a_file_that_does_not_compile_is_an_error_in_rustc_s_words(tmp_path: Path) -> None:
    subject = mutated(tmp_path, (("pub const PAGE_SIZE: u64 = 1 << 12;", "pub const PAGE_SIZE: u64 = one;"),))
    result = check(tmp_path, "--frame-rs", subject, *ONE_CHECK)
    assert (result.status, result.kind) == (ExitCode.ERROR, VerdictKind.ERROR)
    assert "error[E0425]: cannot find value `one` in this scope" in result.out
    assert f"{subject}:" in result.out.replace("\n", "").replace(" ", "")
    assert "Traceback" not in result.out and result.survivors == ()


@pytest.mark.parametrize(
    ("edits", "moved"),
    [(SWAPPED, {"guard", "meta_aux"}), (WIDENED, {"order"})],
    ids=["guard-and-meta_aux-swapped", "order-widened"],
)
def test_a_changed_layout_is_a_fail_that_shows_the_64_bytes(
    edits: tuple[Edit, ...], moved: set[str], tmp_path: Path
) -> None:
    subject = broken_here(edits)
    result = check(tmp_path, "--machine", write_machine(tmp_path), "--frame-rs", subject, *LAYOUT)
    assert (result.status, result.kind, result.survivors) == (ExitCode.FAIL, VerdictKind.FAIL, ())
    assert result.violated == {"LAYOUT-02"}
    checks = [each for run in result.report["runs"] for each in run["checks"]]
    [layout_map] = [each["exhibit"] for each in checks if each["exhibit"]]
    assert moved <= set(layout_map.replace("[", " ").replace("|", " ").split())
    for line in layout_map.splitlines():
        assert line.rstrip() in result.out, "the map is shown as it is"


def test_a_changed_layout_is_not_green_in_a_test_of_a_user_s_either(tmp_path: Path) -> None:
    """The test looks at a field that has not moved."""
    test = "def test_x(kernel):\n    assert kernel.slots()['refcount'][kernel.alloc() >> 12] == 1\n"
    arguments = ("--frame-rs", broken_here(SWAPPED), "--machine", "microvm", "--profile", "release")
    with open_pytest(tmp_path, test, *arguments, evidence=False) as door:
        status, out = door.end()
    assert status == pytest.ExitCode.TESTS_FAILED and "1 passed" in out
    assert "FAIL microvm/release: layout: DWARF differs from the contract" in out


def test_what_breaks_before_the_first_check_blames_its_own_clauses_alone(tmp_path: Path) -> None:
    subject = broken_here((PICKY, KERNEL_S_ONLY))
    arguments = ("--machine", write_machine(tmp_path), "--frame-rs", subject, "--profile", "release")
    result = check(tmp_path, *arguments, "-n", "1", "-k", "CONST-01 or REF-02")
    assert (result.status, result.kind, result.survivors) == (ExitCode.FAIL, VerdictKind.FAIL, ()), result.out
    assert result.codes == {"layout-witness", "violation"}
    assert result.says("set_order panics: order 17 is too large"), result.out
    clauses = result.report["clauses"]
    assert {clauses[id_]["outcome"] for id_ in ("CONST-01", "REF-02")} == {"held"}
    assert result.violated == {"FREE-02"}, result.out


# Half of the requests lend interrupts: each check may be among them.
OF_REF_01 = "REF-01 and not test_w_ and not test_s_"
LEFT_ON = "interrupts were enabled in a call that is made with interrupts disabled"


@pytest.mark.parametrize(
    ("edits", "check_name", "words"),
    [
        pytest.param(ENABLES_INTERRUPTS, "test_defaults_are", LEFT_ON, id="allocate-enables-interrupts"),
        pytest.param(INTERRUPTS_OF_A_SLOT, OF_REF_01, LEFT_ON, id="dec-ref-enables-interrupts"),
        pytest.param(KNOWS_THE_WINDOW, "test_defaults_are", "name=#PF", id="adds-the-usual-window-itself"),
    ],
)
def test_what_a_kernel_must_not_do_and_no_clause_forbids_is_a_crash(
    edits: tuple[Edit, ...], check_name: str, words: str, tmp_path: Path
) -> None:
    arguments = (
        "--machine",
        write_machine(tmp_path),
        "--frame-rs",
        broken_here(edits),
        "--profile",
        "release",
    )
    result = check(tmp_path, *arguments, "-n", "1", "-k", check_name)
    assert (result.status, result.kind, result.survivors) == (ExitCode.CRASH, VerdictKind.CRASH, ()), (
        result.out
    )
    assert result.says(words), result.out


@pytest.mark.parametrize("case", ["missing", "folder", "dangling link", "unreadable device"])
def test_what_is_no_file_is_a_usage_error_in_one_line(case: str, tmp_path: Path) -> None:
    path = tmp_path / "frame.rs"
    if case == "folder":
        path.mkdir()
    elif case == "dangling link":
        path.symlink_to(tmp_path / "gone.rs")
    elif case == "unreadable device":
        os.mkfifo(path)
    result = check(tmp_path, "--frame-rs", path, *ONE_CHECK)
    assert (result.status, result.kind, result.survivors) == (ExitCode.USAGE, None, ())
    assert "Traceback" not in result.out
    assert str(path) in result.out or str(path.resolve()) in result.out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (bytes(range(256)) * 16, "error: couldn't read"),
        (b"\x7fELF\x02\x01\x01\x00" + bytes(56), "error: unknown start of token"),
        (b"fn frame(", "error: this file contains an unclosed delimiter"),
    ],
    ids=["no-utf-8", "an-elf", "cut-off"],
)
def test_a_file_that_is_no_module_is_an_error_in_rustc_s_words(
    content: bytes, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "frame.rs"
    path.write_bytes(content)
    result = check(tmp_path, "--frame-rs", path, *ONE_CHECK)
    assert (result.status, result.kind, result.survivors) == (ExitCode.ERROR, VerdictKind.ERROR, ())
    assert result.says(words), result.out
    assert "Traceback" not in result.out


@pytest.mark.parametrize("left", ["changed", "gone"])
def test_a_file_that_changes_while_it_is_judged_is_an_error(left: str, tmp_path: Path) -> None:
    subject = mutated(same_place(), ())
    text = subject.read_text()
    with announced(tmp_path) as announcer:
        machine = write_machine(tmp_path, qemu=announcer.program)
        with open_check(tmp_path, "--machine", machine, "--frame-rs", subject, *ONE_CHECK) as door:
            announcer.next_pid()
            if left == "changed":
                subject.write_text(text + "// a word more\n")
            else:
                subject.unlink()
            result = close_check(door, tmp_path)
    assert (result.status, result.kind, result.survivors) == (ExitCode.ERROR, VerdictKind.ERROR, ())
    assert result.says("changed while it was judged")


@pytest.mark.parametrize(
    ("name", "line"),
    [("frame/more.rs", "mod more;"), ("more.txt", 'const _: &str = include_str!("more.txt");')],
    ids=["module", "included"],
)
@pytest.mark.parametrize("door", ["check", "pytest"])
def test_another_file_of_the_module_that_changes_while_it_is_judged_is_an_error(
    door: str, name: str, line: str, tmp_path: Path
) -> None:
    subject, other = mutated(folder := same_place(), ()), folder / name
    other.parent.mkdir(exist_ok=True)
    other.write_text("// a word\n")
    subject.write_text(f"{subject.read_text()}\n{line}\n")
    with announced(tmp_path) as announcer:
        words = ("--machine", write_machine(tmp_path, qemu=announcer.program), "--frame-rs", subject)
        test = "def test_it(kernel):\n    assert kernel.alloc()\n"
        with (
            open_check(tmp_path, *words, *ONE_CHECK)
            if door == "check"
            else open_pytest(tmp_path, test, *words, "--profile", "release", evidence=False)
        ) as process:
            announcer.next_pid()
            other.write_text("// another word\n")
            status, out = process.end()
    words_of = f"{other} changed while it was judged"
    assert status == (ExitCode.ERROR if door == "check" else pytest.ExitCode.TESTS_FAILED), out
    assert out.count(words_of) == 1 and f"{subject} changed" not in out


def test_the_built_in_module_in_a_file_of_its_own_passes(tmp_path: Path) -> None:
    """What the others here differ from."""
    subject = mutated(same_place(), ())
    result = check(tmp_path, "--machine", write_machine(tmp_path), "--frame-rs", subject, *ONE_CHECK)
    assert (result.status, result.kind, result.survivors) == (ExitCode.PASS, VerdictKind.PASS, ())
    assert result.report["subject"]["sha256"] == frame_module().sha256


def test_a_module_that_denies_warnings_is_judged_though_the_shim_leaves_some_of_it_unused(
    tmp_path: Path,
) -> None:
    subject = mutated(tmp_path, ())
    text = subject.read_text(encoding="utf-8")
    subject.write_text(f"#![deny(warnings)]\n{text}\npub fn used_by_the_kernel() {{}}\n", encoding="utf-8")
    result = check(tmp_path, "--frame-rs", subject, "--machine", "microvm", *ONE_CHECK)
    assert (result.status, result.kind) == (ExitCode.PASS, VerdictKind.PASS), result.out


def test_a_module_may_be_quiet_and_may_keep_a_poisoned_frame_to_itself(tmp_path: Path) -> None:
    """The sentinel and the poison must stay; nobody must hear of it, nobody must have the frame."""
    subject = broken_here((*QUIET, KEEPS_POISONED))
    checks = ("--profile", "release", "-n", "1", "-k", "REF-07 or GUARD-08")
    result = check(tmp_path, "--machine", write_machine(tmp_path), "--frame-rs", subject, *checks)
    assert (result.status, result.kind, result.survivors) == (ExitCode.PASS, VerdictKind.PASS, ()), result.out


FIRST_OF_INIT = "    let frames = frames_covering(total_ram);\n    if"
PITY: Edit = (
    FIRST_OF_INIT,
    FIRST_OF_INIT.replace("    if", '    assert!(frames == 1, "what a pity");\n    if'),
)
STUCK: Edit = (
    FIRST_OF_INIT,
    FIRST_OF_INIT.replace("    if", "    while core::hint::black_box(true) {}\n    if"),
)


def test_a_module_that_panics_at_init_is_told_once(tmp_path: Path) -> None:
    """Whatever the number of checks and runs: the clause, the panic, where, how many checks it stopped."""
    subject = mutated(same_place(), (PITY,))
    machines = ("--machine", write_machine(tmp_path), "--machine", "q35")
    checks = ("--profile", "release", "-n", "1", "-k", "CONST-01 or REF-01 or ALLOC-09")
    result = check(tmp_path, "--frame-rs", subject, *machines, *checks)
    assert (result.status, result.kind, result.survivors) == (ExitCode.CRASH, VerdictKind.CRASH, ()), (
        result.out
    )
    assert result.out.count("frame::init_metadata_array+") == 1, result.out
    assert result.says(f"{subject}:") and result.says("what a pity")
    assert result.violated == {"ARRAY-03"}, result.out
    assert result.report["findings"][0]["function"] == "init_metadata_array"
    crashed = [one for run in result.report["runs"] for one in run["checks"] if one["outcome"] == "crashed"]
    assert result.says(f"stopped: {len(crashed)} checks") and len(crashed) > 10
    assert [run["guests_booted"] for run in result.report["runs"]] == [1, 1]


LOOP: Edit = (
    "        let step = |count: u32| (count < REFCOUNT_UNUSED - 1)",
    "        while core::hint::black_box(true) {}\n"
    "        let step = |count: u32| (count < REFCOUNT_UNUSED - 1)",
)
FIVE_TESTS = """
import pytest

@pytest.mark.clause("REF-01")
@pytest.mark.parametrize("n", range(5))
def test_x(kernel, n):
    kernel.slot(kernel.alloc()).inc_ref()
"""


def test_a_module_that_hangs_at_init_is_a_timeout_with_its_clause(tmp_path: Path) -> None:
    """The third run knows the place from two before, and waits less; it is told as the same trouble."""
    subject = mutated(same_place(), (STUCK,))
    machine = write_machine(tmp_path, cpu_s=2.0)
    other = tmp_path / "other.toml"
    other.write_text(machine.read_text())
    third = tmp_path / "third.toml"
    third.write_text(machine.read_text())
    machines = ("--machine", machine, "--machine", other, "--machine", third)
    result = check(
        tmp_path, "--frame-rs", subject, *machines, "--profile", "release", "-n", "1", "-k", "REF-01"
    )
    assert (result.status, result.kind, result.survivors) == (ExitCode.TIMEOUT, VerdictKind.TIMEOUT, ()), (
        result.out
    )
    assert result.violated == {"ARRAY-03"}, result.out
    assert result.out.count("preflight: timeout") == 1, result.out
    assert result.says("limit 0.2 s where other guests hung before"), result.out


def test_a_method_that_hangs_costs_its_whole_limit_twice(tmp_path: Path) -> None:
    """Checks that do not call it come to their end, and the run goes on."""
    subject = mutated(same_place(), (LOOP,))
    checks = ("--profile", "release", "-n", "1", "-k", "(REF or CONST) and not test_s_ and not test_w_")
    result = check(tmp_path, "--frame-rs", subject, "--machine", write_machine(tmp_path, cpu_s=2.0), *checks)
    assert (result.status, result.kind, result.survivors) == (ExitCode.TIMEOUT, VerdictKind.TIMEOUT, ()), (
        result.out
    )
    [run] = result.report["runs"]
    hung = [one for one in run["checks"] if one["outcome"] == "timeout"]
    whole = [one for one in hung if "limit 2 s of QEMU's CPU time" in one["message"]]
    short = [one for one in hung if "limit 0.2 s where other guests hung before" in one["message"]]
    # Where the host is busy, a guest may use up its whole limit before anybody looks where it stands.
    assert 2 <= len(whole) < len(short), result.out
    assert any(one["outcome"] == "passed" for one in run["checks"]), result.out


@pytest.mark.parametrize("value", ["0x10", "0x42", "0x00"])
def test_a_method_that_ends_qemu_is_a_crash_where_a_debugger_holds_it_too(value: str, tmp_path: Path) -> None:
    out = f'unsafe {{ core::arch::asm!("out dx, al", in("dx") 0xf4_u16, in("al") {value}_u8) }}'
    head = "    pub fn inc_ref(&self) {\n"
    subject = mutated(tmp_path, ((head, f"{head}        {out}\n"),))
    checks = "test_two_operations_at_once_are_one_after_the_other and REF-01"
    result = check(
        tmp_path, "--frame-rs", subject, "--machine", "microvm", "--profile", "release", "-k", checks
    )
    assert (result.status, result.kind) == (ExitCode.CRASH, VerdictKind.CRASH), result.out


def test_a_run_whose_guests_all_die_in_one_method_is_stopped(tmp_path: Path) -> None:
    machine = write_machine(tmp_path, cpu_s=1.0)
    arguments = ("--frame-rs", mutated(same_place(), (LOOP,)), "--machine", machine, "--profile", "release")
    with open_pytest(tmp_path, FIVE_TESTS, *arguments, evidence=False) as door:
        status, out = door.end()
    assert status == pytest.ExitCode.TESTS_FAILED and "3 failed, 2 errors" in out, out
    assert out.count("run stopped: the first 3 guests all ended in the same way: timeout: slot.inc_ref") == 2


# One value repeated: the compiler would evaluate 64 Mi of `AtomicU8::new`, one by one.
VAST: tuple[Edit, ...] = (
    (
        "fn zero_payload",
        "struct Vast(core::cell::UnsafeCell<[u8; 64 << 20]>);\nunsafe impl Sync for Vast {}\n"
        "static VAST: Vast = Vast(core::cell::UnsafeCell::new([0; 64 << 20]));\nfn zero_payload",
    ),
    (
        "        slot.set_order(0);\n",
        "        slot.set_order(unsafe { core::hint::black_box(&VAST).0.get().cast::<u8>().read() });\n",
    ),
)


def test_an_image_that_ram_cannot_hold_is_called_that(tmp_path: Path) -> None:
    arguments = ("--machine", write_machine(tmp_path), "--frame-rs", mutated(same_place(), VAST))
    result = check(tmp_path, *arguments, *ONE_CHECK)
    assert (result.status, result.kind, result.survivors) == (ExitCode.ERROR, VerdictKind.ERROR, ()), (
        result.out
    )
    assert result.says("image too large: frame.rs (release): expected")
    assert result.says("16 MiB, all that a kernel's image may have, got")
    assert result.says("frame::VAST is 67,108,864") and result.says("next: make the static smaller")
    assert result.out.count("next: make the static smaller") == 1
    assert result.report["clauses"]["CONST-01"]["outcome"] == "not-evaluated"
