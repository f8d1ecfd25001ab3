//! The way of a block from its last holder back to the buddy.

use super::buddy;
use super::subject::{invoke_vtable_on_last_ref, invoke_vtable_on_unmap, PhysFrame, PAGE_SIZE};
use crate::sync::with_irqs_disabled;
use x86_64::PhysAddr;

/// Calls the hooks of the block of `2^order` frames at `paddr`, then frees it, all with interrupts
/// disabled: `on_last_ref` of the first frame, `on_unmap` of every frame in address order. Whether the
/// block is poisoned is the buddy's question, so the hooks are called either way.
pub fn release_owned_block(paddr: PhysAddr, order: u8) {
    with_irqs_disabled(|token| {
        invoke_vtable_on_last_ref(paddr);
        for index in 0..1 << order {
            invoke_vtable_on_unmap(paddr + index * PAGE_SIZE);
        }
        buddy::free(token, PhysFrame { start_address: paddr }, order);
    })
}
