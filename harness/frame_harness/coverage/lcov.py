"""Coverage in the format of LCOV, which editors, genhtml and services read."""

from __future__ import annotations

from collections.abc import Iterator

from frame_harness.coverage.lines import Coverage, LineState, SourceCoverage


def dumps(coverage: Coverage) -> str:
    """Return a tracefile (geninfo(1), "FILES"); a count is 1 for what ran: nobody counted how often."""
    return "".join(f"{line}\n" for source in coverage.sources for line in _record(source))


def _record(source: SourceCoverage) -> Iterator[str]:
    yield "TN:frame-harness"
    yield f"SF:{source.path}"
    ran = {one.name: int(source.hit(one.lines) > 0) for one in source.functions}
    yield from (f"FN:{one.line},{one.name}" for one in source.functions)
    yield from (f"FNDA:{ran[one.name]},{one.name}" for one in source.functions)
    yield f"FNF:{len(ran)}"
    yield f"FNH:{sum(ran.values())}"
    for one in source.lines:
        yield f"DA:{one.line},{int(one.state is LineState.HIT)}"
    yield f"LF:{len(source.lines)}"
    yield f"LH:{source.n_hit}"
    yield "end_of_record"
