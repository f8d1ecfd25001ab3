"""What a run saw, as values that travel as JSON, checked when they arrive."""

import json
from enum import StrEnum
from typing import Final, TypeVar

import msgspec

from frame_harness.base.errors import HarnessError
from frame_harness.base.guest_end import GuestEnd
from frame_harness.base.record import Address, Count, Record, Seconds, decode_json
from frame_harness.coverage.lines import Coverage
from frame_harness.judge.diagrams import Diagram
from frame_harness.judge.origin import Origin


class EvidenceError(HarnessError):
    """A text that is no evidence; one line says where and why."""


class Outcome(StrEnum):
    """How a check ended in one run; the value is its word in evidence and reports."""

    PASSED = "passed"
    VIOLATED = "violated"
    CRASHED = "crashed"
    TIMEOUT = "timeout"
    ERROR = "error"
    NOT_EVALUATED = "not-evaluated"
    SKIPPED = "skipped"
    ABSENT = "absent"  # what it looks at is not in this version of the module


WELL: Final = frozenset({Outcome.PASSED, Outcome.SKIPPED, Outcome.ABSENT})
"""How a check ends that came to no fault, and that broke off nowhere."""


class Source(StrEnum):
    """Who found what a result says; the value is its word in evidence."""

    CHECK = "check"
    PREFLIGHT = "preflight"  # before the first check
    ON_THE_WAY = "on-the-way"  # a check of other clauses met it


class Level(StrEnum):
    """How much goes on in a check, the least first: a simple check tells most clearly what is wrong."""

    DECLARATION = "declaration"
    CALL = "call"
    SEQUENCE = "sequence"
    MEMORY = "memory"
    HISTORY = "history"
    INTERLEAVING = "interleaving"
    COMPILED = "compiled"
    STORM = "storm"

    @property
    def rank(self) -> int:
        """The place in the order of levels, 0 for the simplest."""
        return list(Level).index(self)


ON_SEVERAL_CPUS: Final = frozenset({Level.INTERLEAVING, Level.STORM})
"""Levels of checks that let several CPUs work at once."""


class Witness(StrEnum):
    """What one witness of the layout said, measured against the contract."""

    EQUAL = "equal"
    UNPROMISED = "unpromised"  # the contract has no layout: only witnesses can be held against each other
    DIFFERS = "differs"
    UNREAD = "unread"


class RunKey(Record, frozen=True, order=True):
    """One build on one machine."""

    machine: str
    profile: str

    def __str__(self) -> str:
        return f"{self.machine}/{self.profile}"


class CheckInRun(Record, frozen=True, order=True):
    """A check in one of its runs, by its name without the run; `case` as in the check's result."""

    run: RunKey
    check: str
    case: str = ""


class SourceFile(Record, frozen=True, kw_only=True):
    """A file that was judged, by its absolute path; sha256 in hex."""

    path: str
    sha256: str


class SubjectInfo(Record, frozen=True, kw_only=True):
    """The subject, with the files that it consists of; sha256 in hex, of all of them together."""

    name: str
    path: str
    sha256: str
    files: tuple[SourceFile, ...] = ()


class SlotBytes(Record, frozen=True, kw_only=True):
    """The slot of a result's frame as the check found it, laid out as the contract says.

    `got` are all of its bytes in hex; `expected` has the value that was promised of some fields, by name. It
    is empty where a promise cannot be told as values of fields.
    """

    got: str
    expected: dict[str, Count] = msgspec.field(default_factory=dict)

    @property
    def data(self) -> bytes:
        """The bytes that were found, in the order of memory."""
        return bytes.fromhex(self.got)


class FieldValues(Record, frozen=True, kw_only=True):
    """Fields as numbers: before the last command where that is known, as they should be, as they are.

    Names are those of a slot's fields; `payload` counts bytes of a frame's content that are wrong, `first`
    and `last` are the ends of a range of physical addresses.
    """

    expected: dict[str, int]
    got: dict[str, int]
    before: dict[str, int] = msgspec.field(default_factory=dict)


class CheckFacts(Record, frozen=True, kw_only=True):
    """What one check came to.

    `breaks` names those of its clauses that a violation breaks; empty means all. `exhibit` is text shown
    as it is. `function` is the path of the subject's item that is to blame, `at` its `file:line`, or a
    panic's; `calls` are the paths of the functions that were called, where known. `incidental`: a call
    failed by which the check wanted to get somewhere, before it judged anything. `commands`,
    `console_tail`, `backtrace` are lines, oldest first, the backtrace innermost first; `registers` are
    lines about every CPU of a stopped guest. `unreadable`: an error came from data of the guest. `lacks`
    are the names that an absent check would need. `cause` tells faults apart that break the same clause,
    where known: each is a finding. `case` shows it, in the words that `--case` takes. `diagram` is what
    CPUs did, of a violation that takes several. `slot` is that of `frame`, where its bytes are known.
    `values` are fields of it as numbers, `panicked` says that `got` is a panic's message. `hindered_by`
    is the clause that a skipped check found broken before it could look at its own. Of the guest that a
    check had last, `console_bytes` says where in its transcript the check ended, and `events` what QEMU's
    monitor had reported by then, oldest first.
    """

    outcome: Outcome
    breaks: tuple[str, ...] = ()
    message: str = ""
    expected: str = ""
    got: str = ""
    frame: Address | None = None
    field: str = ""
    at: str = ""
    function: str = ""
    calls: tuple[str, ...] = ()
    incidental: bool = False
    exhibit: str = ""
    commands: tuple[str, ...] = ()
    console_tail: tuple[str, ...] = ()
    backtrace: tuple[str, ...] = ()
    registers: tuple[str, ...] = ()
    reproduce: str = ""
    unreadable: bool = False
    lacks: tuple[str, ...] = ()
    cause: str = ""
    case: str = ""
    diagram: Diagram | None = None
    slot: SlotBytes | None = None
    values: FieldValues | None = None
    panicked: bool = False
    hindered_by: str = ""
    console_bytes: Count = 0
    events: tuple[str, ...] = ()


class CheckResult(CheckFacts, frozen=True, kw_only=True):
    """One check in one run, with what it came to."""

    check: str
    clauses: tuple[str, ...]
    run: RunKey
    duration_s: Seconds
    level: Level = Level.CALL
    source: Source = Source.CHECK

    @property
    def broken(self) -> tuple[str, ...]:
        """The clauses that this result violates; none unless it is a violation."""
        return (self.breaks or self.clauses) if self.outcome is Outcome.VIOLATED else ()

    @property
    def key(self) -> CheckInRun:
        """Whose result it is."""
        return CheckInRun(run=self.run, check=self.check, case=self.case)

    @property
    def place(self) -> tuple[str, int] | None:
        """File and line of `at`; None where there is no line."""
        file, _, line = self.at.rpartition(":")
        return (file, int(line)) if file and line.isdecimal() else None


class PlannedCheck(Record, frozen=True, kw_only=True):
    """One check that must come to an end in one run."""

    run: RunKey
    check: str
    clauses: tuple[str, ...]


class GuestExits(Record, frozen=True, kw_only=True):
    """How many guests ended one way."""

    got: GuestEnd
    count: Count
    text: str = ""


class LayoutEvidence(Record, frozen=True, kw_only=True):
    """DWARF and guest bytes, each compared with the contract; text says how they differ."""

    dwarf: Witness
    guest_bytes: Witness
    text: str = ""


class DumpEvidence(Record, frozen=True, kw_only=True):
    """Dumps asked for, those that came whole, those in which RAM said otherwise."""

    requested: Count
    whole: Count
    contradicted: Count = 0


class SelftestEvidence(Record, frozen=True, kw_only=True):
    """The guest's own KTAP plan and results."""

    plan: Count
    passed: Count
    failed: Count


class ViolatedInvariant(Record, frozen=True, kw_only=True):
    """An invariant of whole memory that did not hold before the first check; it serves `clauses`.

    `field` is that of the first counterexample, `function` writes it, `at` is where that is declared.
    """

    name: str
    clauses: tuple[str, ...]
    text: str
    field: str = ""
    function: str = ""
    at: str = ""


class RunEvidence(Record, frozen=True, kw_only=True):
    """One build booted on one machine; `invariants` maps a name to the frames it looked at.

    Of a memory core, it maps one name to the cases behind which the state of the core was looked at.

    Of the guests booted, `guests_put_back` began at the prompt of an earlier guest, in its QEMU.
    """

    run: RunKey
    accelerator: str
    qemu_version: str
    image_sha256: str
    build_id: str
    subject_sha256: str
    toolchain: str
    guests_booted: Count
    guests_put_back: Count = 0
    exits: tuple[GuestExits, ...]
    layout: LayoutEvidence
    dumps: DumpEvidence
    selftest: SelftestEvidence
    invariants: dict[str, Count]
    duration_s: Seconds
    preflight_s: Seconds = 0.0


class Trouble(Record, frozen=True, kw_only=True):
    """What kept the harness from judging; `detail` is shown whole, such as a compiler's words.

    `outcome` is `crashed` or `timeout` where a guest did that before the first check, `absent` where this
    version of the module cannot be judged, else `error`.
    """

    what: str
    message: str
    run: RunKey | None = None
    outcome: Outcome = Outcome.ERROR
    detail: str = ""
    next: str = ""


class Evidence(Record, frozen=True, kw_only=True):
    """Everything a verdict is made of; `planned_runs` are those that had to happen.

    `plan` says what each planned check would have looked at: one that died cannot say it any more. `lacks`
    are the names that this version of the module lacks, as the compiler says. `steps_s` says what each step
    took, in order: profiles are compiled side by side; `preflight`, added up over the runs, lies within
    `checks`. `interrupted` says that somebody stopped it; then it is what was seen so far. `origins` say
    which commits brought faults, and `coverage` which lines ran, where that was asked for.
    """

    subject: SubjectInfo
    planned_runs: tuple[RunKey, ...]
    plan: tuple[PlannedCheck, ...] = ()
    runs: tuple[RunEvidence, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    errors: tuple[Trouble, ...] = ()
    selection: str = ""
    lacks: tuple[str, ...] = ()
    duration_s: Seconds = 0.0
    build_s: Seconds = 0.0
    steps_s: dict[str, Seconds] = msgspec.field(default_factory=dict)
    interrupted: bool = False
    origins: tuple[Origin, ...] = ()
    coverage: Coverage | None = None

    def origin_of(self, clause: str, cause: str) -> Origin | None:
        """Where a fault came from; None where nobody followed it."""
        return next((one for one in self.origins if (one.clause, one.cause) == (clause, cause)), None)


def encode(value: Record) -> str:
    """The value as JSON; what UTF-8 cannot carry becomes `?`, so that no evidence is lost to a byte."""
    text = json.dumps(msgspec.to_builtins(value), ensure_ascii=False)
    return text.encode("utf-8", "replace").decode("utf-8")


def plain(value: Record) -> dict[str, object]:
    """The value as JSON's own types, for a larger document."""
    return msgspec.convert(msgspec.to_builtins(value), dict[str, object])


R = TypeVar("R", bound=Record)


def decode(text: str | bytes, type_: type[R]) -> R:
    """Read one value back.

    Raises:
        EvidenceError: not JSON, a field missing, unknown or of another type; the text has its path.
    """
    try:
        return decode_json(text, type_)
    except msgspec.DecodeError as error:
        raise EvidenceError("evidence", type_.__name__, detail=str(error)) from error
