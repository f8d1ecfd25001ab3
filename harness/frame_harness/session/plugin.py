"""The pytest door: guests as fixtures, clauses as markers, evidence for a verdict."""

from __future__ import annotations

import os
import pickle
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import pytest

from frame_harness.archive.files import own_files
from frame_harness.base import report_files
from frame_harness.base.errors import HarnessError
from frame_harness.base.guest_end import GuestEnd
from frame_harness.base.open_files import require_open_files
from frame_harness.base.profiles import BOTH, COVERAGE, PROFILES
from frame_harness.base.text import printable
from frame_harness.contract.versions import lacking
from frame_harness.coverage import lcov
from frame_harness.coverage import words as coverage_words
from frame_harness.frame_guest.kernel import Boot, Kernel
from frame_harness.guest.boot_options import BootArguments, BootOptions
from frame_harness.guest.errors import GuestCrashed, GuestFailure, NotInThisVersion
from frame_harness.image.image import Image
from frame_harness.judge.evidence import CheckResult, RunKey, SlotBytes, decode, encode
from frame_harness.session import markers, results
from frame_harness.session.leavings import RUN
from frame_harness.session.request import REQUEST, SessionRequest, request_of_options, storm_seconds
from frame_harness.session.run import GUESTS, Run
from frame_harness.session.runs import WorkerOutput
from frame_harness.session.seen import Met
from frame_harness.session.seen_slots import slot_seen
from frame_harness.session.selection import selection_of, without_campaigns
from frame_harness.session.session import HANDED_OVER, PARENT, RESULT, SEEN, SENT, Session
from frame_harness.session.words import compared, users_lines

GDB_PLUGIN = "frame_harness.debugging.pytest_gdb"
SCRIPTS_PLUGIN = "frame_harness.steering.collecting"
SESSION = pytest.StashKey[Session]()
PHASES = pytest.StashKey[results.Phases]()
KERNELS = pytest.StashKey[list[Kernel]]()
SLOTS = pytest.StashKey[dict[str, SlotBytes | None]]()
"""Of the frame that a phase's failure is about, read while the guest was as the check left it."""
HAS_GUEST = pytest.StashKey[bool]()
COLLECTED = pytest.StashKey[tuple[pytest.Item, ...]]()
"""All checks, before any was left out."""
STORM = pytest.StashKey[str]()
"""The storm that a check runs: to see it again takes repeating, which a check does not."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("frame-harness", "kernels under QEMU")
    group.addoption(
        "--frame-rs",
        metavar="PATH",
        help="judge this frame.rs; default: that of FRAME_RS, else the built-in one",
    )
    group.addoption(
        "--machine",
        action="append",
        metavar="NAME",
        help="a machine of qemu/*.toml or a file; repeat for more",
    )
    group.addoption("--profile", choices=[*PROFILES, BOTH, COVERAGE], help="cargo profile; default: dev")
    group.addoption(
        "--accel", choices=["tcg", "auto", "kvm"], help="accelerator; default: the machine's, tcg"
    )
    group.addoption(
        "--out", metavar="DIR", help="keep the evidence there: what failing checks leave, reports"
    )
    group.addoption(
        "--storm-seconds", metavar="S", type=storm_seconds, default=0.15,
        help="how long each storm of several CPUs runs; default: 0.15",
    )  # fmt: skip

    group.addoption(
        "--cov-subject", action="store_true",
        help="run the tests once more in a build without optimization, say which lines of the frame.rs ran",
    )  # fmt: skip
    group.addoption(
        "--cov-subject-lcov", metavar="FILE", help="the same, and write it to FILE in the format of LCOV"
    )
    group.addoption(
        "--gdb", action="store_true", help="when a check fails, wait for gdb with its guest, as --pdb does"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--gdb"):
        config.pluginmanager.import_plugin(GDB_PLUGIN)
    config.pluginmanager.import_plugin(SCRIPTS_PLUGIN)
    config.addinivalue_line("markers", "clause(id, ..., at=function): contract clauses that a check looks at")
    config.addinivalue_line("markers", "machine(name, ...): run on these machines only")
    config.addinivalue_line("markers", "level(name): how much goes on in it; `call` where it is not said")
    config.addinivalue_line("markers", "campaign: looks at many clauses; the id of one does not select it")
    config.addinivalue_line("markers", "one_machine: the same everywhere, so run it on the first machine")
    try:
        require_open_files()
        request = _request_of(config)
        if file := config.getoption("--cov-subject-lcov"):
            report_files.make_way([Path(file)], request.subject.files, own_files(request.archive))
        session = config.stash[SESSION] = Session(config, request)
    except HarnessError as error:
        raise pytest.UsageError(str(error)) from None
    if not session.is_worker:
        config.pluginmanager.register(session, "frame-harness-session")
    config.pluginmanager.register(_AfterSelection())


def _request_of(config: pytest.Config) -> SessionRequest:
    """What this process is asked for: a worker by its parent, others by who started pytest, or by options."""
    if sent := getattr(config, "workerinput", {}).get(SENT):
        request: SessionRequest = pickle.loads(sent)
        return request
    return config.stash.get(REQUEST, None) or request_of_options(config)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell an xdist worker what it is asked for, and whose guests it is going to boot."""
    node.workerinput[SENT] = pickle.dumps(node.config.stash[SESSION].request)
    node.workerinput[PARENT] = os.getpid()


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "frame_run" not in metafunc.fixturenames:
        return
    request = metafunc.config.stash[SESSION].request
    try:
        keys = request.keys_for(named := markers.machines_of(metafunc.definition))
        if metafunc.definition.get_closest_marker("one_machine"):
            keys = [key for key in keys if key.machine == keys[0].machine]
    except HarnessError as error:
        # Of what else is raised here pytest shows its own functions, too.
        raise pytest.Collector.CollectError(f"{metafunc.definition.nodeid}: {error}") from error
    params = [pytest.param(key, id=results.run_id(key)) for key in keys]
    if not params:
        skip = pytest.mark.skip(reason=f"needs machine {', '.join(named)}, which was not selected")
        params = [pytest.param(key, id=results.run_id(key), marks=skip) for key in request.keys_for([])]
    metafunc.parametrize("frame_run", params, indirect=True, scope="session")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    config.stash[COLLECTED] = tuple(items)
    clauses = config.stash[SESSION].request.subject.contract.clauses
    for item in items:
        try:
            item.extra_keyword_matches.update(markers.clauses_of(item, clauses))
            results.level_of(item)
        except (HarnessError, ValueError) as error:
            raise pytest.UsageError(f"{item.nodeid}: {error}") from error
    if only := config.stash[SESSION].request.only:
        _keep(config, items, [item for item in items if results.is_one_of(item, only)])
    if first := config.stash[SESSION].request.first:
        items.sort(key=lambda item: not results.is_one_of(item, first))


class _AfterSelection:
    """A plugin of pytest that sees what `-k` has chosen."""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        _keep(config, items, without_campaigns(str(config.getoption("keyword") or ""), items))


def _keep(config: pytest.Config, items: list[pytest.Item], chosen: list[pytest.Item]) -> None:
    kept = set(chosen)
    if left_out := [item for item in items if item not in kept]:
        config.hook.pytest_deselected(items=left_out)
    items[:] = chosen


def pytest_collection_finish(session: pytest.Session) -> None:
    planned = {item.nodeid: check for item in session.items if (check := results.planned_check(item))}
    session.config.stash[SESSION].planned = planned
    session.config.stash[SESSION].leavings.number(session.items)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    ours = session.config.stash[SESSION]
    ours.finish()
    if ours.coverage is not None and (file := session.config.getoption("--cov-subject-lcov")):
        report_files.write({Path(file): lcov.dumps(ours.coverage)})
    if ours.reasons and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    session = config.stash[SESSION]
    if session.coverage is not None:
        terminalreporter.section("frame-harness: lines of the subject that ran")
        for line in coverage_words.lines(session.coverage):
            terminalreporter.line(line)
    for note in session.notes:
        terminalreporter.line(f"not kept: {printable(note)}")
    reasons = session.reasons
    if reasons:
        terminalreporter.section("frame-harness: against a pass, whatever the tests say")
    for reason in reasons:
        where = f"{reason.run}: " if reason.run else ""
        terminalreporter.line(f"{reason.kind} {printable(f'{where}{reason.message}')}")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Take over what an xdist worker saw, or that it died and left nothing."""
    output = getattr(node, "workeroutput", {}).get(HANDED_OVER)
    if output is None:
        node.config.stash[SESSION].worker_was_lost(f"{node.gateway.id} died", str(error))
    elif not error:  # of one that was stopped it is told twice
        node.config.stash[SESSION].add_worker(decode(output, WorkerOutput))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    with users_lines(call.excinfo if results.planned_run(item) else None) as instead:
        report = yield
    if instead and report.failed:
        report.longrepr = instead
    phases = item.stash.setdefault(PHASES, {})
    phases[str(report.when)] = (report, call.excinfo.value if call.excinfo else None)
    key = results.planned_run(item)
    if key is None:
        return report
    kernels = item.stash.get(KERNELS, [])
    if report.failed:
        if RUN in item.stash and (kernels or not results.needs_compiler(item)):
            item.stash[RUN].retire_shared()
        error = call.excinfo.value if call.excinfo else None
        item.stash.setdefault(SLOTS, {})[str(report.when)] = slot_seen(
            error, kernels, item.stash[RUN].image if RUN in item.stash else None
        )
        clauses = item.config.stash[SESSION].request.subject.contract.clauses
        for title, text in results.sections(item, kernels, clauses):
            report.sections.append((title, text))
        item.config.stash[SESSION].leavings.failed(item, kernels, error)
    if report.when == "teardown":
        told = _report_result(item, key, report) if results.clauses_of(item) else ()
        item.config.stash[SESSION].leavings.ended(item, key, told)
        # A kernel holds its guest's RAM: kept until the end of the session, a thousand of them fill the host.
        item.stash[KERNELS], item.stash[PHASES] = [], {}
    return report


def _report_result(item: pytest.Item, key: RunKey, report: pytest.TestReport) -> tuple[CheckResult, ...]:
    """Attach to a check's last report what came of it, and note in its run how its guest ended.

    Returns:
        its result, then what it met of other clauses.
    """
    phases, kernels = item.stash[PHASES], item.stash.get(KERNELS, [])
    run = item.stash.get(RUN, None)
    image, layout = (run.image, run.layout) if run else (None, None)
    slots = item.stash.get(SLOTS, {})
    facts, decides = results.of_the_phases(item, image, layout, phases)
    result = results.result_of(
        item, key, facts, phases, kernels, lambda: reproduce(item, key), slot=slots.get(decides)
    )
    report.user_properties.append((RESULT, encode(result)))
    met = (
        results.seen_on_the_way(item, result, error, image, slots.get(when))
        for when, (_, error) in phases.items()
    )
    on_the_way = [seen for seen in met if seen is not None]
    for seen in on_the_way:
        number = item.config.stash[SESSION].leavings.number_of(item)
        report.user_properties.append((SEEN, encode(Met(number=number, result=seen))))
    if run is not None and had_a_guest(phases, kernels):
        run.note_end(phases[decides][1] if decides else None)
    return (result, *on_the_way)


def had_a_guest(phases: results.Phases, kernels: list[Kernel]) -> bool:
    """Whether a check had a guest, or died of one that never came up."""
    return bool(kernels) or any(isinstance(error, GuestFailure) for _, error in phases.values())


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Remember which test runs, and whether it has a guest: only then are numbers likely to be addresses."""
    item.config.stash[HAS_GUEST] = results.planned_run(item) is not None
    group = item.path.name if results.shares_a_fixture(item) else ""
    item.config.stash[SESSION].begin_check(results.check_name(item), group)


def pytest_assertrepr_compare(
    config: pytest.Config, op: str, left: object, right: object
) -> list[str] | None:
    """Show a comparison with an address in hexadecimal, too; only in checks that have a guest."""
    return compared(op, left, right) if config.stash.get(HAS_GUEST, False) else None


def reproduce(item: pytest.Item, key: RunKey) -> str:
    """One shell command that runs this check again, of several cases this one alone."""
    request = item.config.stash[SESSION].request
    if request.program and (storm := item.stash.get(STORM, "")):
        return request.storm_again(key, storm)
    among = [other for other in item.config.stash[COLLECTED] if results.planned_run(other) == key]
    return request.check_again(key, selection_of(item, among), str(item.path))


@pytest.fixture(scope="session")
def frame_run(request: pytest.FixtureRequest) -> Run:
    """The build on the machine that this check runs on, its witnesses compared."""
    run = request.config.stash[SESSION].run(request.param)
    run.pool = request.config.stash.get(GUESTS, run.pool)
    return run


@pytest.fixture(autouse=True)
def _clauses_are_in_this_version(request: pytest.FixtureRequest) -> None:
    """Let no check judge a clause whose words name what this version of the subject lacks."""
    if results.planned_run(request.node) is None:
        return
    run: Run = request.getfixturevalue("frame_run")
    needs = run.image.subject.contract.versions.of_clauses(results.clauses_of(request.node))
    if lacks := lacking(needs, run.image.lacks):
        request.node.stash[RUN] = run
        raise NotInThisVersion(lacks, request.node.name)


@pytest.fixture
def image(frame_run: Run, request: pytest.FixtureRequest) -> Image:
    """The built kernel: symbols, DWARF, layout; no guest is started for it."""
    request.node.stash[RUN] = frame_run
    return frame_run.image


@pytest.fixture
def boot(frame_run: Run, request: pytest.FixtureRequest) -> Iterator[Boot]:
    """Start guests with `BootOptions` as keywords; each must exit well when the check is over.

    Raises:
        GuestCrashed: one did not exit well, and no check was told so before.
    """
    request.node.stash[RUN] = frame_run
    shown = request.node.stash.setdefault(KERNELS, [])
    started: list[Kernel] = []  # without the shared one, which is for others to go on with

    def start(**words: Unpack[BootArguments]) -> Kernel:
        kernel = frame_run.boot(BootOptions(**words))
        shown.append(kernel)
        started.append(kernel)
        return kernel

    yield start
    told = [kernel.failure is not None for kernel in started]
    with ExitStack() as stack:  # each of them, also when one cannot be ended in good order
        for kernel in reversed(started):
            stack.callback(frame_run.finish, kernel)
    stopped = request.config.stash[SESSION].interrupted  # then guests are killed
    for known, kernel in zip(told, started, strict=True):
        if (status := kernel.end[0]) is not GuestEnd.PASS and not (known or stopped):
            n_bytes, events = kernel.channel.transcript.n_received, kernel.guest.events(ask=False)
            raise GuestCrashed("exit status", detail=f"expected pass, got {status}", status=status,
                               console_bytes=n_bytes, events=events)  # fmt: skip


@pytest.fixture
def kernel(boot: Boot) -> Kernel:
    """A fresh guest at its prompt."""
    return boot()


@pytest.fixture
def shared_kernel(frame_run: Run, request: pytest.FixtureRequest) -> Kernel:
    """A guest for checks that touch only frames they allocated; a new one after a failure."""
    return _shared_guest(frame_run, request)


@pytest.fixture
def bare_kernel(frame_run: Run, request: pytest.FixtureRequest) -> Kernel:
    """A guest with RAM in every zone, whose slots nobody uses; a check puts back those that it changed."""
    return _shared_guest(frame_run, request, init="array", ram=frame_run.image.subject.contract.wide_ram)


@pytest.fixture
def shared_boot(frame_run: Run, request: pytest.FixtureRequest) -> Boot:
    """Give the guest with these options that checks share; each puts back what it changed."""
    return partial(_shared_guest, frame_run, request)


def _shared_guest(frame_run: Run, request: pytest.FixtureRequest, **words: Unpack[BootArguments]) -> Kernel:
    """A guest that other checks had before; what they did to it is not this one's."""
    request.node.stash[RUN] = frame_run
    kernel = frame_run.shared(BootOptions(**words))
    kernel.commands.clear()
    kernel.log.begin_check()
    kernel.called.clear()
    request.node.stash.setdefault(KERNELS, []).append(kernel)
    return kernel
