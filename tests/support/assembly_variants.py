"""Rewrites of the built-in module in assembly: sound, broken, or past understanding."""

from __future__ import annotations

from dataclasses import dataclass

from tests.support.ordering_variants import Edit, body, insert, swap

ASM = "core::arch::asm!"


@dataclass(frozen=True)
class AssemblyVariant:
    """One rewrite, with the clauses that it breaks, and those that nobody can judge because of it."""

    name: str
    edits: tuple[Edit, ...]
    violated: frozenset[str] = frozenset()
    unjudged: frozenset[str] = frozenset()

    def apply(self, text: str) -> str:
        for edit in self.edits:
            text = edit(text)
        return text


def sound(name: str, *edits: Edit) -> AssemblyVariant:
    return AssemblyVariant(name, edits)


def broken(name: str, clauses: str, *edits: Edit) -> AssemblyVariant:
    return AssemblyVariant(name, edits, violated=frozenset(clauses.split()))


def obscure(name: str, clauses: str, *edits: Edit) -> AssemblyVariant:
    return AssemblyVariant(name, edits, unjudged=frozenset(clauses.split()))


def zero(code: str) -> Edit:
    """Zero a payload by `code`, in which `p` is its address."""
    address = "phys_to_virt(frame.start_address.as_u64()) as usize"
    return body(
        "zero_payload", f"let p = ptr::with_exposed_provenance_mut::<u8>({address}); unsafe {{ {code} }}"
    )


def stos(options: str = "nostack, preserves_flags") -> str:
    operands = 'inout("rcx") 4096usize => _, inout("rdi") p => _, in("al") 0u8'
    return f'{ASM}("rep stosb", {operands}, options({options}));'


def stream(then: str = "") -> str:
    """Return a loop of non-temporal stores, with an instruction behind it."""
    more = f'"{then}", ' if then else ""
    loop = f'"2:", "movnti [{{0}}], {{1}}", "add {{0}}, 8", "dec {{2}}", "jnz 2b", {more}'
    return f"{ASM}({loop}inout(reg) p => _, in(reg) 0u64, inout(reg) 512u64 => _, options(nostack));"


def outside(definition: str, name: str = "zero_all", count: int = 4096) -> tuple[Edit, Edit]:
    """Zero a payload through a function that is not written in Rust."""
    return zero(f"{name}(p, {count})"), insert("fn zero_payload", definition + "\n")


DECLARED = 'unsafe extern "C" { fn zero_all(p: *mut u8, n: usize); }'
NAKED = '#[unsafe(naked)] unsafe extern "C" fn zero_all(p: *mut u8, n: usize)'
STREAMED = "for i in 0..512 { core::arch::x86_64::_mm_stream_si64(p.cast::<i64>().add(i), 0); }"
FLAGS, COUNT = "self.flags.as_ptr()", "self.refcount.as_ptr()"
CAS = (
    "let (found, equal): (u32, u8); unsafe { "
    f'{ASM}("LOCKcmpxchg dword ptr [{{}}], {{:e}}", "sete {{}}", in(reg) {COUNT}, in(reg) new, '
    'out(reg_byte) equal, inout("eax") expect => found) } if equal != 0 { Ok(found) } else { Err(found) }'
)
FILL = (
    f'unsafe {{ {ASM}("2:", "movnti [{{0}}], {{1}}", "add {{0}}, 8", "dec {{2}}", "jnz 2b", FENCE'
    "inout(reg) table => _, in(reg) 0u64, inout(reg) count * 8 => _, options(nostack)) }"
)
HARMLESS = (
    f'{ASM}("pushfq", "cli", "pause", "nop", "invlpg [{{0}}]", "prefetchw [{{0}}]", "rdtsc", "popfq", '
    'in(reg) p, out("eax") _, out("edx") _);'
)
JUMP = (
    f'{ASM}("test {{0:e}}, {{0:e}}", "jz {{1}}", in(reg) flags, label {{ self.flags.store(0, Release); '
    "return }); self.flags.store(flags, Release)"
)

SOUND = (
    sound(
        "accessors",
        zero(stos() + HARMLESS),
        body("inc_ref", f'unsafe {{ {ASM}("lock inc dword ptr [{{}}]", in(reg) {COUNT}) }}'),
        body(
            "dec_ref",
            f"let mut n = u32::MAX; unsafe {{ "
            f'{ASM}("lock xaddl {{0:e}}, 32({{1}})", inout(reg) n, in(reg) self, options(att_syntax)) }} n',
        ),
        body("cas_refcount", CAS.replace("LOCK", "lock ")),
        body("set_flags", f'unsafe {{ {ASM}("mov [{{}}], {{:e}}", in(reg) {FLAGS}, in(reg) flags) }}'),
        body(
            "get_flags",
            f"let v: u32; unsafe {{ {ASM}("
            '"movl 24({0}), {1:e}", in(reg) self, out(reg) v, options(att_syntax, nostack, readonly)) } v',
        ),
        body(
            "set_guard",
            f'unsafe {{ {ASM}("xchg [{{}}], {{:e}}", in(reg) self.guard.as_ptr(), inout(reg) bits => _) }}',
        ),
    ),
    sound("copied", zero(f"static Z: [u8; 4096] = [0; 4096]; {ASM}("
          '"rep movsq", inout("rcx") 512usize => _, inout("rdi") p => _, inout("rsi") Z.as_ptr() => _);')),
    sound("streamed-sfence", zero(stream("sfence"))),
    sound("streamed-mfence", zero(stream("mfence"))),
    sound("streamed-locked", zero(stream("lock or dword ptr [rsp], 0"))),
    sound("streamed-fence-of-its-own", zero(stream() + f'{ASM}("sfence");')),
    sound("streamed-seq_cst-fence", zero(stream() + "fence(core::sync::atomic::Ordering::SeqCst);")),
    sound("streamed-by-core", zero(STREAMED + " core::arch::x86_64::_mm_sfence();")),
    sound("table-streamed-sfence", body("fill_table", FILL.replace("FENCE", '"sfence", '))),
    sound("naked", *outside(
        f'{NAKED} {{ core::arch::naked_asm!("mov rcx, rsi", "xor eax, eax", "rep stosb", "ret") }}')),
    sound(
        "global",
        *outside(
            'core::arch::global_asm!(".globl zero_all", "zero_all:", "mov %rsi, %rcx", "xor %eax, %eax", '
            f'"rep stosb", "ret", options(att_syntax)); {DECLARED}'
        ),
    ),
    sound("label", body("set_flags", f"unsafe {{ {JUMP} }}")),
)  # fmt: skip

BROKEN = (
    broken("streamed", "ALLOC-12", zero(stream())),
    broken("streamed-lfence", "ALLOC-12", zero(stream("lfence"))),
    broken("streamed-fence-in-place-of-store-fence", "ALLOC-12", zero(stream() + "fence(Release);")),
    broken(
        "streamed-sfence-that-the-compiler-may-move",
        "ALLOC-12",
        zero(stream() + f'{ASM}("sfence", options(nomem, nostack));'),
    ),
    broken("streamed-by-core-unfenced", "ALLOC-12", zero(STREAMED)),
    broken(
        "streamed-in-vectors",
        "ALLOC-12",
        zero(
            f'{ASM}("xorps xmm0, xmm0", "2:", "movntps [{{0}}], xmm0", "add {{0}}, 16", "dec {{1}}", '
            '"jnz 2b", inout(reg) p => _, inout(reg) 256u64 => _);'
        ),
    ),
    broken(
        "naked-streamed",
        "ALLOC-12",
        *outside(
            f'{NAKED} {{ core::arch::naked_asm!("xor eax, eax", "2:", "movnti [rdi], rax", "add rdi, 8", '
            '"dec rsi", "jnz 2b", "ret") }',
            count=512,
        ),
    ),
    broken(
        "streamed-under-a-name-like-memset",
        "ALLOC-12",
        *outside(
            'core::arch::global_asm!(".globl memset_nt", "memset_nt:", "xor %eax, %eax", "2:", '
            '"movnti %rax, (%rdi)", "add $8, %rdi", "dec %rsi", "jnz 2b", "ret", options(att_syntax)); '
            'unsafe extern "C" { fn memset_nt(p: *mut u8, n: usize); }',
            name="memset_nt",
            count=512,
        ),
    ),
    broken(
        "streamed-ahead-of-the-publication",
        "ALLOC-12 ALLOC-16 REF-08",
        zero(stream()),
        swap("make_live", "slot.set_refcount(1);", "zero_payload(frame); slot.set_refcount(1);"),
    ),
    broken("table-streamed", "ARRAY-12", body("fill_table", FILL.replace("FENCE", ""))),
    broken(
        "accessors-of-the-count",
        "REF-08 ALLOC-12",
        body("inc_ref", f'unsafe {{ {ASM}("inc dword ptr [{{}}]", in(reg) {COUNT}) }}'),
        body("cas_refcount", CAS.replace("LOCK", "")),
    ),
    broken("inc-of-another-field", "REF-08", body(
        "inc_ref", f'unsafe {{ {ASM}("lock inc dword ptr [{{}} + 36]", in(reg) self) }}')),
    broken("flags-streamed", "REF-08 ALLOC-12", body(
        "set_flags", f'unsafe {{ {ASM}("movnti [{{}}], {{:e}}", in(reg) {FLAGS}, in(reg) flags) }}')),
    broken("flags-by-a-string-instruction", "REF-08 ALLOC-12", body(
        "set_flags",
        f'unsafe {{ {ASM}("rep stosd", in("rdi") {FLAGS}, in("eax") flags, inout("rcx") 1u64 => _) }}')),
    broken("pure-load", "GUARD-10", body(
        "get_guard", f'let v: u32; unsafe {{ {ASM}("mov {{:e}}, [{{}}]", out(reg) v, '
        "in(reg) self.guard.as_ptr(), options(pure, readonly)) } v")),
)  # fmt: skip

ZEROING = "ALLOC-12 ALLOC-16 GEN-04 REF-08"
SLOTS = "FRAME-08 FREE-07 GEN-04 GUARD-10 REF-08 VT-07"
OBSCURE = (
    obscure("unknown-instruction", ZEROING, zero(
        f'{ASM}("xsave [{{}}]", in(reg) p, in("eax") 0, in("edx") 0);')),
    obscure("no-instruction", ZEROING, zero(f'{ASM}("frobnicate {{}}", in(reg) p);')),
    obscure("call-of-elsewhere", ZEROING, *outside(DECLARED)),
    obscure(
        "elsewhere-under-a-name-like-memset",
        ZEROING,
        *outside('unsafe extern "C" { fn memset_nt(p: *mut u8, n: usize); }', name="memset_nt"),
    ),
    obscure("syscall", ZEROING, zero(f'{ASM}("syscall", in("rdi") p);')),
    obscure("backwards", ZEROING, zero(
        f'{ASM}("std", "rep stosb", "cld", inout("rcx") 4096 => _, inout("rdi") p.add(4095) => _, '
        'in("al") 0u8);')),
    obscure("direction-from-a-word-of-flags", ZEROING, zero(
        f'{ASM}("push 0x402", "popfq", "rep stosb", "cld", inout("rcx") 4096 => _, inout("rdi") p => _, '
        'in("al") 0u8);')),
    obscure("store-that-was-ruled-out", ZEROING, zero(stos("nomem, nostack, preserves_flags"))),
    obscure("through-a-segment", ZEROING, zero(f'{ASM}("mov qword ptr gs:[{{}}], 0", in(reg) p);')),
    obscure("endless", ZEROING, zero(f'{ASM}("2:", "mov byte ptr [{{}}], 0", "jmp 2b", in(reg) p);')),
    obscure("slot-given-away", f"{SLOTS} ALLOC-12 ALLOC-16", body(
        "set_flags", f'unsafe {{ {ASM}("xsave [{{}}]", in(reg) {FLAGS}, in("eax") flags, in("edx") 0) }}')),
)  # fmt: skip
