//! Returns a block from its last holder to the buddy.

use super::buddy;
use super::subject::{invoke_vtable_on_last_ref, invoke_vtable_on_unmap, PhysFrame};
use crate::sync::with_irqs_disabled;
use shim_parts::PAGE_SIZE;
use x86_64::PhysAddr;

/// Calls the hooks of the block of `2^order` frames at `paddr`, then frees it, all with interrupts disabled:
/// `on_last_ref` of the first frame, `on_unmap` of every frame in address order. The hooks are called for a poisoned
/// block, too: only the buddy looks at poison.
pub fn release_owned_block(paddr: PhysAddr, order: u8) {
    with_irqs_disabled(|token| {
        invoke_vtable_on_last_ref(paddr);
        for index in 0..1 << order {
            invoke_vtable_on_unmap(paddr + index * PAGE_SIZE);
        }
        buddy::free(token, PhysFrame { start_address: paddr }, order);
    })
}
