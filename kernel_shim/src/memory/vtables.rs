//! Vtables whose hooks record that they were called.

use super::hooks::record;
use super::subject::FrameMetaVtable;
use crate::arch::paging;
use core::ptr;
use shim_parts::stops::Stop;
use x86_64::PhysAddr;

fn on_unmap(paddr: PhysAddr) {
    record(Stop::OnUnmap, paddr);
}

fn on_last_ref(paddr: PhysAddr) {
    record(Stop::OnLastRef, paddr);
}

const fn vtable(on_last_ref: Option<fn(PhysAddr)>, on_unmap: Option<fn(PhysAddr)>) -> FrameMetaVtable {
    FrameMetaVtable { on_last_ref, on_unmap, reserved: [0; 6] }
}

static BOTH: FrameMetaVtable = vtable(Some(on_last_ref), Some(on_unmap));
static UNMAP: FrameMetaVtable = vtable(None, Some(on_unmap));
static LAST_REF: FrameMetaVtable = vtable(Some(on_last_ref), None);
static EMPTY: FrameMetaVtable = vtable(None, None);

/// A vtable at 8 mod 16. The linker may place all others at multiples of 16, which would hide a subject that refuses an
/// address that is aligned to 8 only.
#[repr(C, align(16))]
struct Shifted {
    _before: u64,
    vtable: FrameMetaVtable,
}

static SHIFTED: Shifted = Shifted { _before: 0, vtable: vtable(Some(on_last_ref), Some(on_unmap)) };

const VTABLES: [(&str, &FrameMetaVtable); 5] =
    [("both", &BOTH), ("unmap", &UNMAP), ("lastref", &LAST_REF), ("empty", &EMPTY), ("shifted", &SHIFTED.vtable)];

fn address_of(vtable: &'static FrameMetaVtable) -> u64 {
    ptr::from_ref(vtable).expose_provenance() as u64
}

/// All of them, one a second time as the HHDM shows it: a vtable need not lie in the kernel's image.
fn addresses() -> impl Iterator<Item = (&'static str, u64)> {
    let mapped = paging::phys_to_virt(address_of(&BOTH) - paging::KERNEL_BASE);
    VTABLES.into_iter().map(|(name, vtable)| (name, address_of(vtable))).chain([("mapped", mapped)])
}

/// The address to register for the vtable of that name.
pub fn address(name: &str) -> Option<u64> {
    addresses().find(|&(known, _)| known == name).map(|(_, address)| address)
}

/// Whether it is defined what happens when the subject follows these vtable bits: none is registered, it is one of ours,
/// or the address is misaligned and must not be followed at all.
pub fn may_be_followed(bits: u64) -> bool {
    let aligned = bits % align_of::<FrameMetaVtable>() as u64 == 0;
    bits == 0 || !aligned || addresses().any(|(_, address)| address == bits)
}
