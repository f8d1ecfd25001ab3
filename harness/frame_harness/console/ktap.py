"""Reads KTAP, version 1.

Source: Documentation/dev-tools/ktap.rst, Linux 6.1. Subtests (indented lines) are kept as diagnostics.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from frame_harness.base.errors import KtapError

_PLAN: Final = re.compile(r"1\.\.([0-9]{1,9})")
# "ok 3 - split_gives_both_halves # SKIP no memory", "not ok 4 - coalesce"
_RESULT: Final = re.compile(r"(?P<not>not )?ok (?P<number>[0-9]{1,9})(?: (?:- )?(?P<rest>.*))?")
_DIRECTIVE: Final = re.compile(
    r"(?P<name>.*?)(?:^|\s)#\s*(?P<word>SKIP|TODO|XFAIL|TIMEOUT|ERROR)\b\s*(?P<why>.*)"
)
_BAD_DIRECTIVES: Final = frozenset({"TIMEOUT", "ERROR"})


@dataclass(frozen=True)
class KtapTest:
    """One result line, with the diagnostic lines that belong to it."""

    number: int
    name: str
    ok: bool
    directive: str = ""
    """SKIP, TODO, XFAIL, TIMEOUT, ERROR or nothing."""
    reason: str = ""
    diagnostics: tuple[str, ...] = ()

    @property
    def skipped(self) -> bool:
        """Whether nothing was checked."""
        return self.directive == "SKIP"

    @property
    def failed(self) -> bool:
        """Whether it counts as a failure: `not ok`, or a directive such as TIMEOUT, unless it was skipped."""
        return not self.skipped and (not self.ok or self.directive in _BAD_DIRECTIVES)


@dataclass(frozen=True)
class KtapResult:
    """A whole stream; `passed` only when it proves something."""

    plan: int | None
    tests: tuple[KtapTest, ...]
    problems: tuple[str, ...] = field(default=())
    """What is wrong with the stream itself, one line each."""

    @property
    def ran(self) -> tuple[KtapTest, ...]:
        """Tests that were not skipped."""
        return tuple(test for test in self.tests if not test.skipped)

    @property
    def failures(self) -> tuple[KtapTest, ...]:
        """The tests that failed, in the order of their lines."""
        return tuple(test for test in self.tests if test.failed)

    @property
    def passed(self) -> bool:
        """Whether the plan is complete, at least one test ran, none failed."""
        return bool(self.ran) and not self.problems and not self.failures


def parse(lines: Sequence[str]) -> KtapResult:
    """Read the lines of one KTAP stream.

    What contradicts the stream's own plan is a problem of the result, not an exception, so that the results
    that did come are kept.

    Accepts:
        KTAP version 1
        1..2
        ok 1 - name
        # diagnostic
        not ok 2 - name # SKIP reason
    Raises:
        KtapError: the stream does not begin with its version, or has a line that is none of these.
    """
    if not lines or lines[0] != "KTAP version 1":
        raise KtapError("ktap", "line 1", expected="KTAP version 1", actual=_shown(lines[0] if lines else ""))
    plan: int | None = None
    tests: list[KtapTest] = []
    problems: list[str] = []
    diagnostics: list[str] = []
    for index, line in enumerate(lines[1:], 2):
        if match := _PLAN.fullmatch(line):
            if plan is not None:
                problems.append("plan: expected one, got a second")
            elif tests:
                problems.append(f"plan: expected before the first result, got it after {len(tests)}")
            plan = int(match[1])
        elif match := _RESULT.fullmatch(line):
            tests.append(_test(match, tuple(diagnostics)))
            diagnostics.clear()
            if tests[-1].number != len(tests):
                problems.append(f"numbering: expected {len(tests)}, got {tests[-1].number}")
        elif not line or line[0] in "# \t":
            diagnostics.append(line)
        else:
            raise KtapError("ktap", f"line {index}", expected="a plan, a result or '#'", actual=_shown(line))
    return KtapResult(plan, tuple(tests), (*problems, *_against_plan(plan, tests)))


def _test(match: re.Match[str], diagnostics: tuple[str, ...]) -> KtapTest:
    name, word, why = match["rest"] or "", "", ""
    if directive := _DIRECTIVE.fullmatch(name):
        name, word, why = directive["name"], directive["word"], directive["why"]
    return KtapTest(int(match["number"]), name.strip(), not match["not"], word, why, diagnostics)


def _against_plan(plan: int | None, tests: Sequence[KtapTest]) -> list[str]:
    if plan is None:
        return ["plan: expected 1..<n>, got none"]
    if plan != len(tests):
        return [f"results: expected {plan}, got {len(tests)}"]
    return ["plan: expected at least one test, got none"] if plan == 0 else []


def _shown(line: str) -> str:
    return repr(line[:200])
