//! The banner: what identifies this guest, so that a stale guest cannot be mistaken for a new one.

use super::output::{self, kind};
use crate::arch::paging;
use crate::cpus::record::SMP;
use crate::{cmdline, codegen, memory_map};
use core::fmt;
use shim_parts::command_line::Stage;
use shim_parts::text::HexBytes;

/// Raised with every change that breaks a host.
const PROTOCOL: u32 = 1;

/// As one line, `*frame-harness …`.
pub fn print() {
    output::line(kind::BANNER, format_args!("{Banner}"));
}

/// Displays the banner without its marker.
pub struct Banner;

impl fmt::Display for Banner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let build = build_id();
        let nonce = cmdline::get("nonce").unwrap_or("-");
        let profile = match (cfg!(unoptimized), cfg!(debug_assertions)) {
            (true, _) => "cov",
            (false, true) => "dev",
            (false, false) => "release",
        };
        let init = Stage::parse(cmdline::get("init")).name();
        write!(f, "frame-harness proto={PROTOCOL} build={} nonce={nonce} profile={profile}", HexBytes(build))?;
        let map = memory_map::published();
        write!(f, " init={init} hhdm={:#x} frames={}", paging::HHDM_BASE, map.frame_count())?;
        write!(f, " ram={} cpus={}", map.memory_bytes(), SMP.ready())?;
        let [assertions, overflow, optimized] = codegen::witnessed().map(u8::from);
        write!(f, " assertions={assertions} overflow={overflow} optimized={optimized}")?;
        write!(f, " features={}", codegen::features())
    }
}

// Symbols of linker.ld around the ELF note. Only their addresses have a meaning.
unsafe extern "C" {
    static __build_id_start: u8;
    static __build_id_end: u8;
}

/// The descriptor of the note `NT_GNU_BUILD_ID`. Empty when the linker made none.
pub fn build_id() -> &'static [u8] {
    /// Header of three words, then the name "GNU\0".
    const BEFORE_DESCRIPTOR: usize = 16;
    let (start, end) = (&raw const __build_id_start, &raw const __build_id_end);
    let length = end as usize - start as usize;
    // SAFETY: linker.ld puts both symbols around one read-only section of the image: it is initialized, and nobody writes it.
    // The start is not null, and bytes are aligned anywhere.
    let note = unsafe { core::slice::from_raw_parts(start, length) };
    note.get(BEFORE_DESCRIPTOR..).unwrap_or(&[])
}
