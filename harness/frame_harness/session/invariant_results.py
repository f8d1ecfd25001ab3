"""Makes results of what preflight found wrong with the whole memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from frame_harness.contract.contract import Contract
from frame_harness.judge.evidence import CheckResult, Level, Outcome, RunKey, Source, ViolatedInvariant
from frame_harness.session.results import OF_PREFLIGHT


def invariant_results(
    contract: Contract, run: RunKey, violated: Iterable[ViolatedInvariant], again: Callable[[str], str]
) -> list[CheckResult]:
    """Invariants that did not hold in preflight, as checks that found their clause broken.

    Of the clauses that an invariant serves it states the first; others it can only cast doubt on.

    Args:
        again: given what `-k` takes, says how to see it again.
    """
    called = contract.preflight.commands if contract.preflight else ()
    calls = tuple(sorted(contract.functions.of_lines(called)))
    return [
        CheckResult(
            check=f"{OF_PREFLIGHT}{one.name}",
            clauses=one.clauses[:1],
            run=run,
            outcome=Outcome.VIOLATED,
            duration_s=0.0,
            level=Level.MEMORY,
            message=one.text.partition("\n")[0],
            field=one.field,
            function=one.function,
            calls=calls,
            at=one.at,
            exhibit=one.text if "\n" in one.text else "",
            reproduce=again(one.clauses[0]),
            source=Source.PREFLIGHT,
        )
        for one in violated
    ]
