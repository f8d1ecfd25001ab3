"""Every way a run can end has a status of its own."""

from frame_harness.judge.exit_codes import ExitCode, VerdictKind, exit_code, table


def test_every_kind_has_its_own_status_and_pass_alone_is_zero() -> None:
    codes = [exit_code(kind) for kind in VerdictKind]
    assert len(set(codes)) == len(VerdictKind)
    assert [kind for kind in VerdictKind if exit_code(kind) == 0] == [VerdictKind.PASS]


def test_statuses_are_those_that_are_documented() -> None:
    documented = {
        "PASS": 0,
        "FAIL": 1,
        "USAGE": 2,
        "ERROR": 3,
        "CRASH": 4,
        "TIMEOUT": 5,
        "NO_TESTS": 6,
        "SKIP": 7,
    }
    assert {code.name: int(code) for code in ExitCode} == {
        **documented,
        "NOT_SHOWN": 8,
        "UNJUDGEABLE": 125,
        "INTERRUPTED": 130,
    }


def test_severity_follows_the_order_of_the_kinds() -> None:
    ranked = sorted(VerdictKind, key=lambda kind: -kind.severity)
    names = ["INTERRUPTED", "ERROR", "CRASH", "TIMEOUT", "FAIL", "UNJUDGEABLE", "NO_TESTS", "SKIP", "PASS"]
    assert [str(kind) for kind in ranked] == names


def test_the_table_has_a_row_for_each_status() -> None:
    rows = table().splitlines()[2:]
    assert [row.split("|")[1].strip() for row in rows] == [str(int(code)) for code in ExitCode]
    assert all(code.words in table() for code in ExitCode)
