"""Reads what the compiler says: of which name, at which place."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from frame_harness.image.placed import is_part_of

# A name that nobody has: what to compile against differs, and not what the file itself makes of it.
_UNRESOLVED: Final = frozenset(
    {"E0405", "E0412", "E0422", "E0423", "E0425", "E0432", "E0433", "E0531", "E0599"}
)
_IMPORTS: Final = "E0432"  # it may name several
# A library that cannot be read: the host is to blame, whatever line asked for it.
_UNREADABLE: Final = frozenset({"E0460", "E0462", "E0463", "E0514", "E0519", "E0523", "E0786"})
_NO_CRATE: Final = re.compile("can't find crate for `([^`]*)`")
_IN_THE_ROOT: Final = re.compile(r"in `crate`|in the crate root")
_WORD: Final = re.compile(r"[\w:]+")


@dataclass(frozen=True)
class Said:
    """One error of the compiler's, with its first place."""

    code: str
    message: str
    file: str
    line: int
    word: str
    rendered: str

    @property
    def is_a_name(self) -> bool:
        """Whether something was named that nobody has."""
        return self.code in _UNRESOLVED

    def is_of_the_text(self, files: Collection[Path]) -> bool:
        """Tell whether what is compiled is wrong: not a linker that was killed, nor a library that is gone.

        Args:
            files: the subject's, whose own modules count, too. At a line of another file only what has a
                code is an error of the code.
        """
        if self.code in _UNREADABLE or not self.file:
            return False
        return bool(self.code) or any(is_part_of(self.file, str(file)) for file in files)

    def is_of_the_host(self, promised: Collection[str]) -> bool:
        """Tell whether a library cannot be read that was promised, or that such a one needs.

        Args:
            promised: names of crates; that another one is not there is for who asks for it.
        """
        asked = _NO_CRATE.fullmatch(self.message)
        return self.code in _UNREADABLE and not (asked and asked[1] not in promised)

    @property
    def named(self) -> str:
        """The name, as far as the message quotes it, with the type or module that it was looked for in."""
        quoted = [text for text in re.findall("`([^`]*)`", self.message) if _WORD.fullmatch(text)]
        if self.code == _IMPORTS:
            return ", ".join(quoted) or self.word
        return "::".join(dict.fromkeys(reversed(quoted[:2]))) or self.word

    @property
    def asked_of_the_crate(self) -> str:
        """The name that the frame module asks its crate for, in vain; empty where that is not the trouble."""
        if self.code not in _UNRESOLVED:
            return ""
        quoted = re.findall("`([^`]*)`", self.message)
        if self.code == "E0599":
            owner = re.search(r"\b(BootAllocator|IrqDisabledToken|Migratetype)\b", self.message)
            return f"{owner[1]}::{quoted[0]}" if owner and quoted else ""
        if _IN_THE_ROOT.search(self.message):
            return f"crate::{self.word.removeprefix('crate::')}"
        paths = [text for text in (*quoted, self.word) if text.startswith(("crate::", "super::"))]
        if not paths:
            return ""
        name = paths[0]
        if quoted and "::" not in quoted[0] and name != self.word and not name.endswith(f"::{quoted[0]}"):
            name = f"{name}::{quoted[0]}"
        return self.word if self.word.startswith(name) else name


def objects_in(text: str) -> list[dict[str, Any]]:
    """Return what a tool wrote as JSON, an object a line.

    Other lines are none, nor is one that is cut off: its tool was ended.
    """
    found: list[dict[str, Any]] = []
    for line in text.splitlines():
        if line.startswith("{"):
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
    return found


def errors_in(text: str) -> list[dict[str, Any]]:
    """Return the errors among what a compiler wrote as JSON, a line each."""
    return [one for one in objects_in(text) if one.get("level") == "error" and "message" in one]


def said(message: Mapping[str, Any]) -> Said:
    """Read one message of the compiler, as it writes it in JSON."""
    spans = [span for span in message["spans"] if span["is_primary"]]
    span = spans[0] if spans else {}
    return Said(
        code=(message.get("code") or {}).get("code") or "",
        message=" ".join(message["message"].split()),
        file=span.get("file_name", ""),
        line=span.get("line_start", 0),
        word=_word_at(span),
        rendered=message.get("rendered") or "",
    )


def _word_at(span: dict[str, Any]) -> str:
    """Return the whole path in the source that a place is part of."""
    for line in span.get("text", [])[:1]:
        for found in _WORD.finditer(line["text"]):
            if found.start() <= line["highlight_start"] - 1 < found.end():
                return found[0]
    return ""
