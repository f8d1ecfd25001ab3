"""The tables of qemu/README.md are the ones that the classes of a definition make."""

import re

import pytest

from frame_harness.machine.definition import Limits, Machine, known_machines
from tests.support.machine_page import PAGE, meanings_of, page

WRITTEN = PAGE.read_text(encoding="utf-8")


def rows_of(table: str) -> list[str]:
    """The first cells of one of the page's tables."""
    text = WRITTEN.split(f"<!-- {table}: ")[1].split("<!-- end -->")[0]
    return re.findall(r"(?m)^\| `([^`]+)` \|", text)


def test_the_tables_are_up_to_date() -> None:
    assert page(WRITTEN) == WRITTEN, "run .venv/bin/python -m tests.support.machine_page"


def test_every_key_and_every_machine_has_one_row() -> None:
    assert sorted(rows_of("keys")) == sorted(set(Machine.__struct_fields__) - {"name"})
    assert rows_of("limits") == list(Limits.__struct_fields__)
    assert rows_of("machines") == list(known_machines())


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("| `summary` |", '| `bios` | text | `""` | what is no key any more |\n| `summary` |'),
        ("| `cpus` | count, 1 to 8 | 1 |", "| `cpus` | count, 1 to 8 | 2 |"),
        ("| `exit_cpu_s` | seconds of CPU time", "| `exit_cpu_s` | milliseconds"),
        ("from the start to the banner", "from the start to the first byte"),
    ],
    ids=["obsolete key", "default", "unit", "meaning"],
)
def test_an_obsolete_word_in_the_page_is_noticed(right: str, wrong: str) -> None:
    changed = WRITTEN.replace(right, wrong)
    assert changed != WRITTEN and page(changed) == WRITTEN


def test_a_page_without_a_place_for_a_table_is_refused() -> None:
    with pytest.raises(LookupError, match="limits"):
        page(WRITTEN.replace("<!-- limits: ", "<!-- "))


def test_an_attribute_that_nobody_explains_is_refused() -> None:
    with pytest.raises(LookupError, match=r"Limits\.exit_cpu_s"):
        meanings_of('class Limits:\n    boot_cpu_s: float\n    """to boot"""\n    exit_cpu_s: float\n')
