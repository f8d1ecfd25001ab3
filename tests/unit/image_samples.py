"""Small ELF files with the structures of a frame module, made by the compiler that is here."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import pytest

from frame_harness.base.commands import run
from frame_harness.image.compiler import TARGET
from frame_harness.image.errors import ToolchainError
from frame_harness.image.toolchain import find_toolchain

SOURCE = """#![no_std]
#![no_main]
use core::sync::atomic::{AtomicU64, AtomicU32, AtomicU8, AtomicBool, AtomicPtr, Ordering};
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! { loop {} }
pub mod memory { pub mod frame {
use super::super::*;
#[repr(C)] pub struct FreeListLink { pub next: AtomicU64, pub prev: AtomicU64 }
#[repr(C)] pub struct FrameMetaVtable {
    pub on_last_ref: Option<fn(PhysAddr)>, pub on_unmap: Option<fn(PhysAddr)>, pub reserved: [u64; 6],
}
#[repr(C)] pub struct MetaSlot {
    pub free_link: FreeListLink, pub vtable: AtomicU64, pub flags: AtomicU32, pub order: AtomicU8,
    _reserved0: [u8; 3], pub refcount: AtomicU32, pub generation: AtomicU32, pub guard: AtomicU32,
    pub meta_aux: AtomicU32, pub _reserved_tail: [u8; 16],
}
impl MetaSlot {
    pub fn dec_ref(&self) -> u32 { self.refcount.fetch_sub(1, Ordering::Release) } // here: dec_ref
    #[inline(always)]
    pub fn inc_ref(&self) -> u32 { self.refcount.fetch_add(1, Ordering::Release) } // here: inc_ref
}
pub struct Frames { pub next: u64 }
impl Iterator for Frames {
    type Item = u64;
    #[inline(never)]
    fn next(&mut self) -> Option<u64> { self.next += 1; Some(self.next) } // here: next
}
pub static EMPTY: FrameMetaVtable = FrameMetaVtable { on_last_ref: None, on_unmap: None, reserved: [0; 6] };
}}
pub mod other { #[repr(C)] pub struct Twice { pub a: u32 } pub static A: Twice = Twice { a: 1 }; }
pub mod another { #[repr(C)] pub struct Twice { pub b: u64 } pub static B: Twice = Twice { b: 1 }; }
#[repr(transparent)] pub struct PhysAddr(u64);
#[repr(u8)] #[derive(Clone, Copy)] pub enum Kind { One = 1, Two = 2 }
pub enum Data { Empty, Full(u64, u8) }
#[repr(C)] pub struct Pair { pub first: FewBytes, pub second: FewBytes }
#[repr(C)] pub struct FewBytes { pub size: u16, pub tail: [u8; 2] }
#[repr(C, align(32))] pub struct Odd {
    pub flag: AtomicBool, pub letter: char, pub kind: Kind, pub address: PhysAddr, pub pointer: AtomicPtr<u8>,
    pub signed: i16, pub pair: Pair, pub data: Data, pub wide: u128, pub nothing: (),
    pub grid: [[AtomicU32; 3]; 2], pub pairs: [FewBytes; 2],
}
#[unsafe(no_mangle)] pub static ODD: Odd = Odd {
    flag: AtomicBool::new(false), letter: 'x', kind: Kind::Two, address: PhysAddr(0),
    pointer: AtomicPtr::new(core::ptr::null_mut()), signed: -1,
    pair: Pair { first: FewBytes { size: 0, tail: [0; 2] }, second: FewBytes { size: 0, tail: [0; 2] } },
    data: Data::Full(1, 2), wide: 0, nothing: (), grid: [const { [const { AtomicU32::new(0) }; 3] }; 2],
    pairs: [const { FewBytes { size: 0, tail: [0; 2] } }; 2],
};
#[inline(never)] fn generic<T: Copy>(value: T) -> T { core::hint::black_box(value) } // here: generic
#[unsafe(no_mangle)]
extern "C" fn _start(slot: &memory::frame::MetaSlot) -> ! {
    core::hint::black_box((&ODD, &memory::frame::EMPTY, &other::A, &another::B));
    core::hint::black_box((Kind::One as u8, &Data::Empty));
    slot.inc_ref(); slot.dec_ref();
    generic(1u8); generic(1u64);
    core::hint::black_box(memory::frame::Frames { next: 0 }.next());
    loop {}
}
"""


@functools.cache
def source() -> Path:
    """Return the crate's file; it stays as long as the process."""
    path = folder() / "tiny.rs"
    path.write_text(SOURCE, encoding="utf-8")
    return path


@functools.cache
def folder() -> Path:
    keeper = tempfile.TemporaryDirectory(prefix="samples-of-images-")
    _KEEPERS.append(keeper)
    return Path(keeper.name)


_KEEPERS: list[tempfile.TemporaryDirectory[str]] = []


@functools.cache
def compiled(*flags: str) -> Path:
    """Return the linked file for these compiler flags; skips the test where no compiler makes one."""
    try:
        toolchain = find_toolchain("installed-target")
    except ToolchainError as error:
        # Debian's compiles the core library with a kernel, for that kernel alone.
        pytest.skip(f"a sample needs the target's own core library: {error.summary}")
    path = folder() / ("tiny" + "".join(flags).replace("/", "_"))
    argv: list[str | Path] = [
        toolchain.rustc, "--edition=2024", f"--target={TARGET}", "-Cpanic=abort", "-Crelocation-model=static",
        "-Clink-arg=--build-id=sha1", *flags, "-o", path, source(),
    ]  # fmt: skip
    finished = run(argv, what="compiling a sample")
    assert finished.status == 0, finished.err
    return path
