"""Lists the instructions by what they do to memory, as far as other CPUs can tell."""

from __future__ import annotations

from typing import Final

from iced_x86 import Mnemonic


def _set(words: str) -> frozenset[int]:
    return frozenset(int(getattr(Mnemonic, word)) for word in words.split())


# What an instruction of these lists does is all in its operands and registers; no other one is understood.
# Computed by hand: what the judge needs to know the result of.
MOVES: Final = _set("MOV MOVZX MOVSX MOVSXD")
ARITHMETIC: Final = {
    int(getattr(Mnemonic, word.upper())): word for word in ("add", "sub", "and", "or", "xor", "cmp", "test")
}
STEPS: Final = {int(Mnemonic.INC): "add", int(Mnemonic.DEC): "sub"}
SHIFTS: Final = {int(Mnemonic.SHL): "shl", int(Mnemonic.SHR): "lshr", int(Mnemonic.SAR): "ashr"}
STORE_STRING: Final = {
    int(Mnemonic.STOSB): 1, int(Mnemonic.STOSW): 2, int(Mnemonic.STOSD): 4, int(Mnemonic.STOSQ): 8,
}  # fmt: skip
COPY_STRING: Final = {int(Mnemonic.MOVSB): 1, int(Mnemonic.MOVSW): 2, int(Mnemonic.MOVSQ): 8}
BIT_UPDATES: Final = _set("BTS BTR BTC")

# Weakly ordered: through a write-combining buffer of the CPU, past its store buffer (SDM vol. 1, 10.4.6.2).
NON_TEMPORAL: Final = _set("MOVNTI MOVNTQ MOVNTDQ MOVNTPS MOVNTPD VMOVNTDQ VMOVNTPS VMOVNTPD MOVDIRI")
# CPUID and SERIALIZE wait until all earlier stores are visible (SDM vol. 3A, 9.3).
FULL_FENCES: Final = _set("MFENCE CPUID SERIALIZE")

# Nothing but registers and plain operands; the results need not be known. Flags are.
COMPUTES: Final = _set(
    "LEA NOT NEG ADC SBB IMUL MUL DIV IDIV CBW CWDE CDQE CWD CDQ CQO ROL ROR RCL RCR SHLD SHRD BSF BSR POPCNT"
    " LZCNT TZCNT BSWAP ANDN BLSR BLSI BLSMSK BEXTR BZHI SARX SHRX SHLX RORX MULX PDEP PEXT MOVBE"
    " CMC CLC STC LAHF"
    " SETA SETAE SETB SETBE SETE SETNE SETG SETGE SETL SETLE SETS SETNS SETO SETNO SETP SETNP"
    " CMOVA CMOVAE CMOVB CMOVBE CMOVE CMOVNE CMOVG CMOVGE CMOVL CMOVLE CMOVS CMOVNS CMOVO CMOVNO CMOVP CMOVNP"
    " MOVAPS MOVUPS MOVAPD MOVUPD MOVDQA MOVDQU MOVQ MOVD MOVSS PXOR XORPS XORPD PCMPEQB PCMPEQD"
    " PSHUFD PUNPCKLBW PUNPCKLWD PUNPCKLQDQ MOVDDUP"
    " VMOVAPS VMOVUPS VMOVDQA VMOVDQU VMOVQ VMOVD VPXOR VXORPS VPBROADCASTB VPBROADCASTD VPBROADCASTQ"
    " VZEROUPPER VZEROALL"
)
# The state of this CPU, or of its caches, alone; no value in memory changes. Some write registers.
HARMLESS: Final = _set(
    "NOP FNOP PAUSE ENDBR64 ENDBR32 CLI STI CLD CLAC STAC HLT MWAIT MONITOR UMWAIT UMONITOR TPAUSE INVLPG"
    " INVPCID RDTSC RDTSCP RDPID RDMSR WRMSR RDPMC RDRAND RDSEED RDFSBASE RDGSBASE XGETBV"
    " CLFLUSH CLFLUSHOPT CLWB WBINVD WBNOINVD PREFETCHT0 PREFETCHT1 PREFETCHT2 PREFETCHNTA PREFETCHW IN OUT"
)
STOPS: Final = _set("UD2 UD0 UD1 INT3")
