"""The run as JUnit XML, for the test reports of CI systems."""

# ElementTree and not a JUnit library: the format is four elements, and escaping what a guest printed
# into characters that XML allows is ours to do either way.
import xml.etree.ElementTree as ET

from frame_harness.base.text import printable
from frame_harness.judge.baseline import Baseline
from frame_harness.judge.evidence import CheckResult, Evidence, Outcome
from frame_harness.judge.exit_codes import VerdictKind
from frame_harness.judge.verdict import Verdict, what_was_seen
from frame_harness.report.origins import origin_words

_SUITE = "frame-harness"


def dumps(evidence: Evidence, verdict: Verdict, baseline: Baseline) -> str:
    """One suite a run, and one whose single case is the verdict: no report is green without a PASS."""
    root = ET.Element("testsuites", name=_SUITE, time=f"{evidence.duration_s:.3f}")
    for run in evidence.runs:
        suite = ET.SubElement(root, "testsuite", name=str(run.run), time=f"{run.duration_s:.3f}")
        for result in evidence.checks:
            if result.run == run.run:
                _case(suite, result, evidence, baseline)
    _verdict_case(ET.SubElement(root, "testsuite", name="verdict", time="0"), evidence, verdict)
    for suite in root:
        _count(suite)
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)  # "unicode" declares the locale
    return text.decode("utf-8") + "\n"


def _case(suite: ET.Element, result: CheckResult, evidence: Evidence, baseline: Baseline) -> None:
    module, _, name = result.check.rpartition("::")
    case = ET.SubElement(
        suite,
        "testcase",
        name=printable(name),
        classname=f"{result.run.machine}.{result.run.profile}.{printable(module)}",
        time=f"{result.duration_s:.3f}",
    )
    properties = ET.SubElement(case, "properties")
    for id_ in result.clauses:
        ET.SubElement(properties, "property", name="clause", value=id_)
    words = printable(what_was_seen(result))
    match result.outcome:
        case Outcome.PASSED:
            return
        case Outcome.SKIPPED | Outcome.ABSENT:
            ET.SubElement(case, "skipped", message=words)
        case Outcome.VIOLATED:
            entries = [baseline.entry(id_, result) for id_ in result.broken]
            known = [entry.reason for entry in entries if entry is not None]
            if entries and len(known) == len(entries):
                ET.SubElement(case, "skipped", message=f"known: {printable('; '.join(known))}")
            else:
                failure = ET.SubElement(case, "failure", type=" ".join(result.broken), message=words)
                origins = (evidence.origin_of(id_, result.cause) for id_ in result.broken)
                _body(failure, result, "; ".join(origin_words(one) for one in origins if one))
        case Outcome.CRASHED | Outcome.TIMEOUT | Outcome.ERROR | Outcome.NOT_EVALUATED:
            _body(ET.SubElement(case, "error", type=str(result.outcome), message=words), result)


def _body(element: ET.Element, result: CheckResult, history: str = "") -> None:
    frame = "" if result.frame is None else f"{result.frame:#x}"
    facts = {
        "expected": result.expected,
        "got": result.got,
        "frame": frame,
        "field": result.field,
        "at": result.at,
        "history": history,
        "see it again": result.reproduce,
    }
    lines = [f"{name}: {value}" for name, value in facts.items() if value]
    for title, block in (
        ("", result.exhibit.splitlines()),
        ("commands:", result.commands),
        ("registers:", result.registers),
        ("backtrace:", result.backtrace),
        ("QEMU:", result.events),
        ("console:", result.console_tail),
    ):
        if block:
            lines += [title] if title else []
            lines += [f"  {line}" for line in block]
    element.text = printable("\n".join(lines))


def _verdict_case(suite: ET.Element, evidence: Evidence, verdict: Verdict) -> None:
    case = ET.SubElement(suite, "testcase", name="verdict", classname=_SUITE, time="0")
    if verdict.kind is VerdictKind.PASS:
        return
    lines = [f"{reason.kind}: {reason.run or 'all'}: {reason.message}" for reason in verdict.reasons]
    lines += dict.fromkeys(trouble.detail for trouble in evidence.errors if trouble.detail)
    # A SKIP, too: CI systems show a skipped case in green.
    tag = "failure" if verdict.kind is VerdictKind.FAIL else "error"
    first = verdict.reasons[0].message if verdict.reasons else "not judged"
    element = ET.SubElement(case, tag, type=str(verdict.kind), message=printable(first))
    element.text = printable("\n".join(lines))


def _count(suite: ET.Element) -> None:
    suite.set("tests", str(len(suite.findall("testcase"))))
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(attribute, str(len(suite.findall(f"testcase/{tag}"))))
