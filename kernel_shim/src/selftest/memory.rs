//! Checks of the memory map, the mappings, the stacks.

use super::check::{expect, Check, Verdict};
use crate::arch::{paging, probe, stack};
use crate::memory_map;
use core::sync::atomic::{AtomicU64, Ordering};
use shim_parts::memory_map::RegionKind;

pub const CHECKS: &[Check] = &[
    Check { name: "memory map is sorted and disjoint", run: map_is_sorted },
    Check { name: "memory map has the kernel image as one region", run: map_has_kernel },
    Check { name: "hhdm shows every end of RAM at its own address", run: hhdm_round_trip },
    Check { name: "hhdm shows the kernel image", run: hhdm_shows_image },
    Check { name: "hhdm is not executable", run: hhdm_not_executable },
    Check { name: "identity map is gone", run: identity_map_is_gone },
    Check { name: "code and constants are read-only, data is not", run: image_protections },
    Check { name: "guard pages are below every stack", run: guards_fault },
    Check { name: "a stack that runs over is told from a stray pointer", run: overflows_are_told },
    Check { name: "loader cleared the image's zero bytes", run: bss_is_zero },
];

fn map_is_sorted() -> Verdict {
    let regions = memory_map::regions();
    expect(!regions.is_empty(), format_args!("no regions"))?;
    for region in regions {
        expect(region.base < region.end, format_args!("empty region at {:#x}", region.base))?;
    }
    for pair in regions.windows(2) {
        expect(pair[0].end <= pair[1].base, format_args!("{:#x} overlaps its successor", pair[0].base))?;
    }
    Ok(())
}

fn map_has_kernel() -> Verdict {
    let image = paging::kernel_image();
    let mut kernels = memory_map::regions().iter().filter(|region| region.kind == RegionKind::Kernel);
    let only = kernels.next().filter(|region| region.base == image.start && region.end == image.end);
    expect(only.is_some() && kernels.next().is_none(), format_args!("expected {:#x}..{:#x}", image.start, image.end))
}

/// The first and last aligned words of each region of RAM, at most [`MAX_WORDS`].
fn words_of_ram() -> impl Iterator<Item = &'static AtomicU64> {
    const WORD: u64 = 8;
    const MAX_WORDS: usize = 128;
    memory_map::regions()
        .iter()
        .filter(|region| region.kind == RegionKind::Ram)
        .map(|region| (region.base.next_multiple_of(WORD), (region.end & !(WORD - 1)).wrapping_sub(WORD)))
        .filter(|(first, last)| first < last)
        .flat_map(|(first, last)| [first, last])
        .take(MAX_WORDS)
        .map(|paddr| {
            let word = paging::phys_to_virt(paddr) as *mut u64;
            // SAFETY: it is an aligned word of RAM, which the HHDM maps for good. Nothing else accesses it meanwhile: the other
            // CPUs sleep, as `selftest` requires, and interrupts are off.
            unsafe { AtomicU64::from_ptr(word) }
        })
}

/// All words get distinct values (ours) before one is read, so that two addresses of one byte show. Restored in reverse.
fn hhdm_round_trip() -> Verdict {
    let mut saved = [0; 128];
    let pattern = |index: usize| 0x5eed_0000_0000_0000 | index as u64;
    let mut count = 0;
    for (index, word) in words_of_ram().enumerate() {
        saved[index] = word.swap(pattern(index), Ordering::Relaxed);
        count += 1;
    }
    let wrong = words_of_ram().enumerate().find(|(index, word)| word.load(Ordering::Relaxed) != pattern(*index));
    let wrong = wrong.map(|(_, word)| word.as_ptr() as u64);
    for index in (0..count).rev() {
        words_of_ram().nth(index).into_iter().for_each(|word| word.store(saved[index], Ordering::Relaxed));
    }
    expect(count > 0, format_args!("no RAM"))?;
    expect(wrong.is_none(), format_args!("{:#x} does not hold what was written", wrong.unwrap_or(0)))
}

fn hhdm_shows_image() -> Verdict {
    let text = paging::kernel_text();
    for address in [text.start, text.end - 1, paging::kernel_rodata().start] {
        let alias = paging::phys_to_virt(address - paging::KERNEL_BASE);
        let (there, here) = (probe::read(alias), probe::read(address));
        expect(here.is_some() && there == here, format_args!("{address:#x} differs from {alias:#x}"))?;
    }
    Ok(())
}

fn hhdm_not_executable() -> Verdict {
    expect(paging::hhdm_is_no_execute(), format_args!("the table entry or EFER allows execution"))
}

fn identity_map_is_gone() -> Verdict {
    for address in [0, paging::kernel_image().start] {
        expect(probe::read(address).is_none(), format_args!("{address:#x} is readable"))?;
    }
    Ok(())
}

fn image_protections() -> Verdict {
    static DATA: AtomicU64 = AtomicU64::new(1);
    let (text, rodata) = (paging::kernel_text().start, paging::kernel_rodata().start);
    // SAFETY: nothing writes one of these bytes meanwhile: code, a constant, or DATA, which only this function knows.
    let is_writable = |address| unsafe { probe::is_writable(address) };
    let [text, rodata, data] = [text, rodata, DATA.as_ptr() as u64].map(is_writable);
    expect(!text, format_args!("code is writable"))?;
    expect(!rodata, format_args!("constants are writable"))?;
    expect(data, format_args!("data is not writable"))
}

fn guards_fault() -> Verdict {
    for guard in stack::guards() {
        expect(probe::read(guard).is_none(), format_args!("{guard:#x} is readable"))?;
        let above = guard + stack::GUARD_BYTES as u64;
        expect(probe::read(above).is_some(), format_args!("{above:#x} is not readable"))?;
    }
    Ok(())
}

fn overflows_are_told() -> Verdict {
    for guard in stack::guards() {
        let bottom = guard + stack::GUARD_BYTES as u64;
        let of_a_push = stack::overflowed(bottom - 8, bottom);
        let told = of_a_push.is_some_and(|overflow| overflow.guard == guard);
        expect(told, format_args!("a push below {bottom:#x} is no overflow"))?;
        let stray = stack::overflowed(bottom - 8, bottom + 4 * stack::GUARD_BYTES as u64);
        expect(stray.is_none(), format_args!("a stray pointer below {bottom:#x} is an overflow"))?;
    }
    Ok(())
}

/// Guest RAM may hold anything at power-on. Nobody writes these words.
fn bss_is_zero() -> Verdict {
    static UNTOUCHED: [AtomicU64; 512] = [const { AtomicU64::new(0) }; 512];
    let dirty = UNTOUCHED.iter().find(|word| word.load(Ordering::Relaxed) != 0);
    expect(dirty.is_none(), format_args!("{:#x} is not zero", dirty.map_or(0, |word| word.as_ptr() as u64)))
}
