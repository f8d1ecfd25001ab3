"""Explains clauses of both contracts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import click
from rich.console import Console

from frame_harness.base.errors import HarnessError
from frame_harness.base.program import program
from frame_harness.cli.clauses import core_clauses, suite_clauses
from frame_harness.contract.contract import Contract
from frame_harness.contract.explanations import Explanation
from frame_harness.frame_metadata.contract import FRAME_METADATA
from frame_harness.memory_core.contract import MEMORY_CORE
from frame_harness.report.explanation import WIDEST, Explained, explanations_of, json_of
from frame_harness.report.terminal import print_parts

ALL = "all"
_SUBJECT = {FRAME_METADATA.name: "--frame-rs FRAME_RS", MEMORY_CORE.name: "--kernel-src KERNEL_SRC"}


def explain(ids: Sequence[str], console: Console, *, json: bool) -> None:
    """Print what clauses mean; `ids` name them in either contract, in any case, or all of them.

    Raises:
        UnknownClauseError: no contract has one of these; the text names the nearest.
        HarnessError: the suite cannot be collected.
    """
    explained = explained_of(ids)
    if json:
        click.echo(json_of(explained))
        return
    console.width = min(console.width, WIDEST)
    print_parts([one.terminal() for one in explained], console)


def explained_of(ids: Sequence[str]) -> list[Explained]:
    """The clauses that are asked for, each once, in the order of their contracts.

    Raises:
        UnknownClauseError: no contract has one of these; the text names the nearest.
        HarnessError: the suite cannot be collected.
    """
    both = FRAME_METADATA.clauses.joined(MEMORY_CORE.clauses)
    named = [both.known(id_.upper()).id for id_ in ids if id_.lower() != ALL]
    wanted = named if len(named) == len(ids) else list(both)
    titles = {id_: clause.title for id_, clause in both.items()}
    found: list[Explained] = []
    for contract in (FRAME_METADATA, MEMORY_CORE):
        chosen = [id_ for id_ in both.in_order(wanted) if id_ in contract.clauses]
        if chosen:
            found += _of_contract(contract, chosen, titles)
    return found


def _of_contract(contract: Contract, ids: Sequence[str], titles: Mapping[str, str]) -> Iterator[Explained]:
    texts = explanations_of(contract)
    table = suite_clauses() if contract is FRAME_METADATA else core_clauses()
    for id_ in ids:
        clause = contract.clauses[id_]
        yield Explained(
            clause=clause,
            contract=contract.name,
            section=contract.clauses.sections[clause.section],
            text=_text(texts, id_),
            checks=table.names(id_),
            titles=titles,
            command=f"{program()} check {_SUBJECT[contract.name]} -k {id_}",
        )


def _text(texts: Mapping[str, Explanation], id_: str) -> Explanation:
    if id_ not in texts:
        raise HarnessError(
            "explanations", id_, detail="no file explains it", next_step="install the package again"
        )
    return texts[id_]
