"""Histories are written, followed and attributed as their modules say."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest

from frame_harness.base.units import Paddr, Pfn, paddr_to_pfn
from frame_harness.frame_histories.attribution import CALLED_AT_BOOT, CLAUSES, OF_COMMAND, blame
from frame_harness.frame_histories.commands import (
    Command,
    CommandOperand,
    Op,
    OperandKind,
    Recipe,
    ScriptError,
    decode,
)
from frame_harness.frame_histories.differences import HistoryDifference, Look
from frame_harness.frame_histories.generator import Generator
from frame_harness.frame_histories.interpreter import HANDLERS, Interpreter, Prediction, set_of_vtables
from frame_harness.frame_histories.steps import Cached, Got, Listed, Step
from frame_harness.frame_metadata.clauses import CLAUSES as CONTRACT
from frame_harness.frame_metadata.constants import C
from frame_harness.frame_metadata.functions import FUNCTIONS
from frame_harness.frame_metadata.memory_state import Migratetype
from frame_harness.frame_metadata.model import (
    USER_DATA,
    Done,
    Fail,
    Model,
    ModelResult,
    Panic,
    PanicKind,
    booted_model,
)

N_FRAMES = 6000
GIVEN = [range(1, 2100), range(4200, N_FRAMES - 1)]
VTABLES = {"both": 0x1000, "unmap": 0x2000, "lastref": 0x3000, "empty": 0x4000}


@pytest.fixture
def model() -> Model:
    return booted_model(N_FRAMES, [range(N_FRAMES)], GIVEN, vtables=set_of_vtables(VTABLES))


@pytest.fixture
def interpreter(model: Model) -> Interpreter:
    return Interpreter(model)


def follow(interpreter: Interpreter, *lines: str) -> object:
    """The outcome of the last line."""
    return [interpreter.follow(decode(line)) for line in lines][-1].outcome


def live(generator: Generator, model: Model, steps: int) -> list[object]:
    """Play a history on the model alone; returns the outcomes."""
    interpreter, results, outcomes = Interpreter(model), dict[int, tuple[Paddr, ...]](), list[object]()
    for _ in range(steps):
        step = generator.next(model)
        command = step.command(results, model)
        if command is None:
            continue
        outcome = interpreter.follow(command.on(VTABLES)).outcome
        values = getattr(outcome, "values", {})
        results[step.number] = (Paddr(values["paddr"]),) if "paddr" in values else ()
        generator.note(step, results[step.number])
        outcomes.append(outcome)
    return outcomes


# ---- following --------------------------------------------------------------------------------------------


def test_every_command_has_a_clause() -> None:
    assert set(OF_COMMAND) == set(Op)
    assert set(CONTRACT) >= CLAUSES


def test_commands_change_the_model_as_the_console_changes_the_guest(interpreter: Interpreter) -> None:
    first = interpreter.follow(decode("alloc new purpose=user zeroed=1")).outcome
    assert isinstance(first, Done)
    paddr = f"{first.values['paddr']:#x}"
    assert follow(interpreter, f"slot.inc_ref {paddr}", f"slot.dec_ref {paddr}") == Done({"v": 2})
    assert follow(interpreter, f"slot.cas_refcount {paddr} 7 8") == Fail("Err", {"v": 1})
    assert follow(interpreter, f"release {paddr} 0", f"slot.inc_ref {paddr}") == Panic(PanicKind.REFERENCE)


def test_prediction_names_the_frames_the_payload_and_the_poison(interpreter: Interpreter) -> None:
    interpreter.follow(decode("alloc"))
    poisoned = interpreter.model.buddy.cached_frames()[-1][0]
    interpreter.follow(Command(Op.MARK_POISONED, (poisoned << 12,)))
    prediction = interpreter.follow(decode("alloc"))
    assert prediction.poison_met == {poisoned}
    assert isinstance(prediction.outcome, Done)
    assert prediction.payload == {prediction.outcome.values["paddr"] >> 12: 0}
    assert prediction.sound


@pytest.mark.parametrize(
    "lines",
    [
        ["release 0x1068000 0", "release 0x1068000 0"],
        ["inject buddy.nostamp 1"],
        ["slot.set_vtable_bits 0x1068000 0x1000"],
        ["slot.cas_refcount 0x1068000 0xffffffff 1"],
    ],
)
def test_a_user_who_breaks_the_lists_is_noticed(interpreter: Interpreter, lines: list[str]) -> None:
    for line in lines:
        prediction = interpreter.follow(decode(line))
    assert not prediction.sound


def test_a_reference_to_a_frame_in_quarantine_leads_it_back_into_use(interpreter: Interpreter) -> None:
    done = interpreter.follow(decode("alloc")).outcome
    assert isinstance(done, Done)
    paddr = f"{done.values['paddr']:#x}"
    follow(interpreter, f"slot.mark_poisoned {paddr}", f"release {paddr} 0")
    assert interpreter.sound
    assert not interpreter.follow(decode(f"slot.inc_ref {paddr}")).sound


@pytest.mark.parametrize(
    ("lines", "sound"),
    [
        (["inject buddy.next {}", "buddy.alloc 0 unmovable"], False),
        (["inject buddy.next {}", "trait.alloc_frame"], False),
        (["inject buddy.next {}", "alloc"], True),
        (["inject buddy.next {}", "buddy.alloc 1 unmovable"], True),
        (["inject buddy.next {}", "inject buddy.refuse 1", "buddy.alloc 0 unmovable"], True),
    ],
)
def test_a_free_frame_that_is_taken_by_choice_without_a_claim_says_free_on(
    lines: list[str], sound: bool, interpreter: Interpreter
) -> None:
    done = interpreter.follow(decode("alloc")).outcome
    assert isinstance(done, Done)
    paddr = f"{done.values['paddr']:#x}"
    follow(interpreter, f"release {paddr} 0", *(line.format(paddr) for line in lines))
    assert interpreter.sound is sound


@pytest.mark.parametrize("flags", [0x500, 0x900, 0x2D07])
@pytest.mark.parametrize("order", [0, 2])
def test_a_holder_of_a_block_who_calls_it_a_frame_of_the_kernel_s_is_noticed(
    order: int, flags: int, interpreter: Interpreter
) -> None:
    done = interpreter.follow(decode(f"buddy.alloc {order} unmovable")).outcome
    assert isinstance(done, Done)
    assert interpreter.sound
    assert not interpreter.follow(Command(Op.SET_FLAGS, (done.values["paddr"], flags))).sound


def test_a_frame_that_somebody_else_gave_back_is_its_holder_s_no_more(interpreter: Interpreter) -> None:
    done = interpreter.follow(decode("alloc")).outcome
    assert isinstance(done, Done)
    paddr = f"{done.values['paddr']:#x}"
    again = follow(interpreter, f"release {paddr} 0", "buddy.alloc 0 unmovable")
    assert isinstance(again, Done) and again.values["paddr"] == done.values["paddr"]
    assert interpreter.sound
    assert not interpreter.follow(decode(f"slot.set_flags {paddr} 0x500")).sound


@pytest.mark.parametrize(("flags", "sound"), [(0x500, True), (0x100, True), (0x400, False), (0x700, False)])
def test_a_holder_of_a_frame_may_write_any_flags_but_those_of_another_state(
    flags: int, sound: bool, interpreter: Interpreter
) -> None:
    done = interpreter.follow(decode("alloc new purpose=kernel")).outcome
    assert isinstance(done, Done)
    prediction = interpreter.follow(Command(Op.SET_FLAGS, (done.values["paddr"], flags)))
    assert prediction.sound is sound


@pytest.mark.parametrize("clearing", ["slot.set_guard {} 0", "slot.note_new_allocation_epoch {}"])
def test_a_holder_who_clears_poison_tells_nothing_of_the_state_before(
    clearing: str, interpreter: Interpreter
) -> None:
    done = interpreter.follow(decode("alloc")).outcome
    assert isinstance(done, Done)
    paddr = f"{done.values['paddr']:#x}"
    follow(interpreter, clearing.format(paddr))
    assert not interpreter.rewound
    follow(interpreter, f"slot.mark_poisoned {paddr}", clearing.format(paddr))
    assert interpreter.rewound


@pytest.mark.parametrize("line", ["", "crash panic", "release nowhere 0", "buddy.alloc 1 sideways"])
def test_what_the_model_does_not_know_is_refused(line: str) -> None:
    with pytest.raises(ScriptError):
        decode(line)


def test_the_model_follows_every_command_that_there_is() -> None:
    assert set(HANDLERS) == set(Op)


# ---- writing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_histories_are_followed_by_the_model_to_their_end(model: Model, seed: int) -> None:
    outcomes = live(Generator(random.Random(seed)), model, 150)
    assert sum(isinstance(outcome, Done) for outcome in outcomes) > len(outcomes) / 2


def test_the_same_seed_writes_the_same_history() -> None:
    def written() -> list[Step]:
        model = booted_model(N_FRAMES, [range(N_FRAMES)], GIVEN)
        generator = Generator(random.Random(5))
        return [generator.next(model) for _ in range(60)]

    assert written() == written()


@pytest.mark.parametrize("seed", range(4))
def test_what_is_known_is_not_provoked_again(model: Model, seed: int) -> None:
    avoid = ("REF-07", "ALLOC-15", "GUARD-08", "ALLOC-07", "VT-03")
    outcomes = live(Generator(random.Random(seed), avoid), model, 150)
    assert not [outcome for outcome in outcomes if isinstance(outcome, Panic)]


# ---- frames by where they came from -----------------------------------------------------------------------


def test_operands_find_frames_by_their_place(model: Model) -> None:
    Interpreter(model).follow(decode("alloc"))
    assert Got(3, shift=2).resolve({3: (Paddr(0x5000),)}, model) == 0x7000
    assert Got(4).resolve({3: (Paddr(0x5000),)}, model) is None
    assert Cached(0).resolve({}, model) == model.buddy.cached_frames()[-1][0] << 12
    listed = Listed(0, 1).resolve({}, model)
    assert listed is not None
    assert model.slot(listed).flags & C.flag_free


def test_step_without_its_frame_means_nothing(model: Model) -> None:
    assert Step(0, Op.RELEASE, (Got(9), 0)).command({}, model) is None


# ---- attribution ------------------------------------------------------------------------------------------


def slot_difference(field: str, pfn: Pfn = Pfn(5)) -> HistoryDifference:
    return HistoryDifference("slot", "slot", "1", "2", pfn=pfn, field=field)


STAYS_FREE = replace(slot_difference("flags", Pfn(-1)), values=(C.flag_allocated, C.flag_free))


@pytest.mark.parametrize(
    ("lines", "difference", "clause"),
    [
        (["alloc"], slot_difference("flags", Pfn(-1)), "ALLOC-02"),
        (["alloc"], slot_difference("generation", Pfn(-1)), "GEN-01"),
        (["alloc"], slot_difference("meta_aux", Pfn(-1)), "ALLOC-09"),
        (["alloc"], slot_difference("flags", Pfn(77)), "ALLOC-14"),
        (["alloc"], HistoryDifference("payload", "", "", "", pfn=Pfn(-1), zeroed=True), "ALLOC-04"),
        (
            ["alloc new purpose=pagetable zeroed=0"],
            HistoryDifference("payload", "", "", "", zeroed=True),
            "ALLOC-07",
        ),
        (
            ["alloc new zeroed=0 purpose=pagetable"],
            HistoryDifference("payload", "", "", "", zeroed=True),
            "ALLOC-06",
        ),
        (["alloc new zeroed=0"], HistoryDifference("payload", "", "", "", pfn=Pfn(-1)), "ALLOC-05"),
        (["alloc"], HistoryDifference("status", "", "", "", got_status="fail"), "ALLOC-11"),
        (["alloc"], HistoryDifference("value", "", "", "", field="paddr"), "ALLOC-08"),
        (["slot.inc_ref {c}"], HistoryDifference("status", "", "", "", got_status="ok"), "REF-07"),
        (["slot.dec_ref {c}"], HistoryDifference("value", "", "", "", field="v"), "REF-01"),
        (["release {a} 0"], slot_difference("guard", Pfn(-1)), "GUARD-04"),
        (["release {a} 0"], slot_difference("refcount", Pfn(-1)), "FREE-02"),
        (["slot.set_guard {a} 1"], slot_difference("guard", Pfn(-1)), "GUARD-01"),
        (["slot.set_guard {a} 1"], slot_difference("flags", Pfn(-1)), "CONST-05"),
        (["slot.set_guard {a} 1"], slot_difference("order", Pfn(-1)), "LAYOUT-07"),
        (["slot.set_guard {a} 1"], slot_difference("guard", Pfn(2)), "LAYOUT-07"),
        (
            ["slot.set_vtable_bits {a} 1", "release {a} 0"],
            HistoryDifference("status", "", "", "", got_status="panic"),
            "VT-03",
        ),
        (
            ["slot.mark_poisoned {c}", "alloc"],
            HistoryDifference("value", "", "", "", field="paddr"),
            "GUARD-08",
        ),
        (["slot.mark_poisoned {a}", "release {a} 0"], slot_difference("flags", Pfn(-1)), "GUARD-07"),
        (["slot.mark_poisoned {a}", "release {a} 0"], slot_difference("vtable", Pfn(-1)), "GUARD-07"),
        (["slot.mark_poisoned {a}", "release {a} 0"], HistoryDifference("counter", "", "", ""), "GUARD-07"),
        (["slot.mark_poisoned {a}", "release {a} 0"], slot_difference("guard", Pfn(-1)), "GUARD-04"),
        (["inject buddy.next {a}", "alloc"], slot_difference("flags"), "ALLOC-15"),
        (["inject buddy.next {a}", "alloc"], slot_difference("refcount"), "ALLOC-10"),
        (["slot.mark_poisoned {c}", "alloc"], slot_difference("generation", Pfn(-2)), "GEN-01"),
        (["slot.mark_poisoned {c}", "alloc.all"], slot_difference("generation", Pfn(-2)), "GUARD-08"),
        (["slot.mark_poisoned {c}", "alloc"], slot_difference("guard", Pfn(-2)), "GUARD-08"),
        (["release {a} 0", "inject buddy.next {a}", "alloc"], STAYS_FREE, "ALLOC-02"),
        (["alloc"], replace(STAYS_FREE, pfn=Pfn(5)), "ALLOC-08"),
    ],
)
def test_difference_names_the_clause_that_it_breaks(
    interpreter: Interpreter, lines: list[str], difference: HistoryDifference, clause: str
) -> None:
    """`{a}` is a frame that is held, `{c}` the one that leaves the CPU cache next; pfn -1 stands for a frame
    that the last command is about, -2 for `{c}`."""
    held = interpreter.follow(decode("alloc")).outcome
    assert isinstance(held, Done)
    names = {"a": hex(held.values["paddr"]), "c": hex(interpreter.model.buddy.cached_frames()[-1][0] << 12)}
    if difference.pfn == -2:
        difference = replace(difference, pfn=paddr_to_pfn(Paddr(int(names["c"], 0))))
    sent = [decode(line.format(**names)) for line in lines]
    for command in sent:
        prediction = interpreter.follow(command)
    if difference.pfn == -1:
        difference = replace(difference, pfn=max(prediction.frames))
    assert blame([decode("alloc"), *sent], sent[-1], prediction, difference).clause == clause


KINDS = ("status", "value", "slot", "payload", "counter", "list", "cache", "hooks", "crash")
FIELDS = ("", "next", "vtable", "flags", "order", "refcount", "generation", "guard", "meta_aux", "payload")
FRAME = Paddr(0x106_0000)
OPERANDS: dict[OperandKind, CommandOperand] = {
    **dict.fromkeys(OperandKind, 1),
    OperandKind.FRAME: FRAME,
    OperandKind.MIGRATETYPE: Migratetype.MOVABLE,
    OperandKind.RECIPE: Recipe("new", (USER_DATA,)),
}


@pytest.mark.parametrize("op", Op, ids=lambda op: op.words)
def test_no_history_names_a_clause_whose_functions_it_did_not_call(op: Op) -> None:
    """Whatever is different after whatever command: the clause is one that the calls made can break."""
    command = Command(op, tuple(OPERANDS[kind] for kind in op.kinds))
    outcomes: tuple[ModelResult, ...] = (Done(), Fail("OutOfMemory"), *(Panic(kind) for kind in PanicKind))
    predictions = [
        Prediction(outcome, frames=frozenset({paddr_to_pfn(FRAME)}), wrapped=wrapped, poison_met=met)
        for outcome in outcomes
        for wrapped in (frozenset[Pfn](), frozenset({paddr_to_pfn(FRAME)}))
        for met in (frozenset[Pfn](), frozenset({paddr_to_pfn(FRAME)}))
    ]
    calls = FUNCTIONS.of_lines([op.words]) or CALLED_AT_BOOT
    for prediction, kind, field in itertools.product(predictions, KINDS, FIELDS):
        difference = HistoryDifference(
            kind, "", "", "overflow", pfn=Pfn(FRAME >> 12), field=field, got_status="panic"
        )
        blamed = blame([command], command, prediction, difference)
        assert FUNCTIONS.of_clause[blamed.clause] & calls, (command, prediction, difference)
        assert blamed.clause in CLAUSES


def test_every_clause_that_a_history_can_find_has_functions_that_break_it() -> None:
    assert CLAUSES - FUNCTIONS.of_clause.keys() == set()
    assert all(FUNCTIONS.of_clause.values())


@pytest.mark.parametrize(
    ("line", "difference", "blamed"),
    [
        ("slot.inc_ref 0x1000", slot_difference("refcount"), ("REF-01", "MetaSlot::inc_ref")),
        (
            "slot.reset_with_free_list_meta 0x5000",
            slot_difference("generation"),
            ("GEN-01", "MetaSlot::reset_with_free_list_meta"),
        ),
        (
            "slot.reset_with_free_list_meta 0x5000",
            slot_difference("guard"),
            ("GUARD-04", "MetaSlot::reset_with_free_list_meta"),
        ),
        ("slot.mark_poisoned 0x5000", slot_difference("refcount"), ("LAYOUT-07", "MetaSlot::mark_poisoned")),
        ("slot.get_guard 0x5000", slot_difference("generation"), ("GEN-01", "MetaSlot::get_guard")),
        ("slot.set_guard 0x5000 1", slot_difference("flags"), ("CONST-05", "MetaSlot::set_guard")),
        ("slot.set_flags 0x5000 1", slot_difference("flags"), ("LAYOUT-07", "MetaSlot::set_flags")),
        (
            "release 0x5000 0",
            slot_difference("generation"),
            ("GEN-01", "MetaSlot::reset_with_free_list_meta"),
        ),
        ("release 0x5000 0", slot_difference("next"), ("FREE-03", "MetaSlot::set_next")),
        ("release 0x5000 0", HistoryDifference("cache", "", "", ""), ("FREE-03", "")),
        ("buddy.alloc 0 movable", slot_difference("order"), ("FREE-04", "MetaSlot::set_order")),
        ("alloc", HistoryDifference("cache", "", "", ""), ("ALLOC-08", "FrameAllocOptions::allocate")),
        ("alloc new purpose=user", slot_difference("guard"), ("GUARD-05", "FrameAllocOptions::allocate")),
        (
            "alloc.all new purpose=user",
            replace(slot_difference("flags"), values=(C.flag_allocated, C.flag_free)),
            ("ALLOC-08", "FrameAllocOptions::allocate"),
        ),
    ],
)
def test_difference_names_the_function_that_wrote_it(
    line: str, difference: HistoryDifference, blamed: tuple[str, str]
) -> None:
    prediction = Prediction(Done(), frames=frozenset({Pfn(5)}))
    command = decode(line)
    found = blame([command], command, prediction, difference)
    assert found.clause == blamed[0]
    if blamed[1]:
        assert found.function == blamed[1]


@pytest.mark.parametrize(
    ("wrapped", "difference", "clause"),
    [
        ({5}, slot_difference("generation"), "GEN-03"),
        ({7}, slot_difference("generation"), "GEN-01"),
        (set(), slot_difference("generation"), "GEN-01"),
        ({5}, HistoryDifference("value", "", "1", "2", field="paddr"), "ALLOC-08"),
        ({5}, slot_difference("flags"), "ALLOC-02"),
        ({5}, HistoryDifference("status", "", "", "add with overflow", got_status="panic"), "GEN-03"),
        ({5}, HistoryDifference("status", "", "", "refcount is 1", got_status="panic"), "ALLOC-10"),
    ],
)
def test_a_wrapped_generation_is_blamed_for_generations_alone(
    wrapped: set[Pfn], difference: HistoryDifference, clause: str
) -> None:
    prediction = Prediction(Done(), frames=frozenset({Pfn(5)}), wrapped=frozenset(wrapped))
    command = decode("alloc")
    assert blame([command], command, prediction, difference).clause == clause


def test_hooks_without_a_release_are_the_invokers_business() -> None:
    found = HistoryDifference("hooks", "", "", "")
    log = Command(Op.HOOK_LOG)
    asked = [Command(Op.UNMAP, (0x5000,)), log]
    assert blame(asked, log, Prediction(Done()), found).clause == "VT-04"
    given_back = [Command(Op.RELEASE, (0x5000, 0)), log]
    assert blame(given_back, log, Prediction(Done()), found).clause == "VT-05"


def test_what_is_wrong_at_boot_is_blamed_on_who_filled_the_table() -> None:
    found = blame([], Look.AT_BOOT, None, slot_difference("meta_aux"))
    assert (found.clause, found.function) == ("ARRAY-03", "init_metadata_array")
