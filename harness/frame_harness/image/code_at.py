"""What stands at an address of a kernel's text."""

from __future__ import annotations

from dataclasses import dataclass

from frame_harness.base.units import Vaddr


@dataclass(frozen=True)
class CodeAt:
    """An address with the source line that it comes from."""

    address: Vaddr
    """Virtual."""
    symbol: str = ""
    """Of the function whose code it is; empty outside of every function."""
    offset: int = 0
    """Bytes from the beginning of that function."""
    function: str = ""
    """That the source line belongs to: the symbol's, or one that was inlined into it."""
    file: str = ""
    line: int = 0
    """`file`, `line`: of the source; empty and 0 where debug information has none."""

    @property
    def place(self) -> str:
        """`file:line`, or all that is known where there is no source line."""
        return f"{self.file}:{self.line}" if self.line else str(self)

    def __str__(self) -> str:
        """`function+0x12 (file:line)`; of a line that was inlined, `inlined in function+0x12 (file:line)`."""
        if not self.symbol:
            return f"{self.address:#018x}"
        name = f"{self.symbol}+{self.offset:#x}"
        if not self.line:
            return name
        inlined = f"{self.function} in " if self.function != self.symbol else ""
        return f"{inlined}{name} ({self.file}:{self.line})"
