//! References to frames that several address spaces share, and the marks of such frames.

use super::block::BlockHandle;
use super::block_meta::resolve_handle;
use super::frame::{frame_flags, get_meta, PhysFrame};
use super::ownership::{OwnerError, RemoveRefResult};
use crate::memory::{ownership_table, release_owned_block};
use crate::sync::SpinLock;

/// Held while flags of a frame are read and written.
static MARKING: SpinLock<()> = SpinLock::new(());

/// The block around a frame: whose references count.
fn around(frame: PhysFrame) -> BlockHandle {
    resolve_handle(frame.start_address)
}

/// Of a new block that is about to get its first owner.
pub fn handle_init_ref(handle: BlockHandle) {
    let slot = get_meta(handle.base);
    slot.set_order(handle.order);
    slot.set_refcount(1);
}

pub fn frame_inc_ref(frame: PhysFrame) -> Result<u32, OwnerError> {
    let shared = around(frame);
    ownership_table().pin(shared)
}

/// Who gives the last reference back, gives the block back.
pub fn frame_dec_ref(frame: PhysFrame) {
    let shared = around(frame);
    match ownership_table().unpin(shared) {
        Ok(RemoveRefResult::Freed(block)) => release_owned_block(block),
        Ok(_) => {}
        Err(error) => log::warn!("no pin of {shared:?} to give back: {error:?}"),
    }
}

/// That of the table, else what the slot of the block's first frame says.
pub fn frame_get_refcount(frame: PhysFrame) -> u32 {
    let shared = around(frame);
    let owned = ownership_table().refcount(shared);
    owned.unwrap_or_else(|| get_meta(shared.base).get_refcount())
}

fn mark(frame: PhysFrame, change: impl FnOnce(u32) -> u32) {
    let _marking = MARKING.lock();
    let slot = get_meta(frame.start_address);
    slot.set_flags(change(slot.get_flags()));
}

pub fn frame_set_cow(frame: PhysFrame) {
    mark(frame, |flags| flags | frame_flags::COW)
}

pub fn frame_clear_cow(frame: PhysFrame) {
    mark(frame, |flags| flags & !frame_flags::COW)
}

pub fn frame_is_cow(frame: PhysFrame) -> bool {
    get_meta(frame.start_address).is_cow()
}

pub fn frame_set_dll(frame: PhysFrame) {
    mark(frame, |flags| flags | frame_flags::DLL)
}

pub fn frame_is_dll(frame: PhysFrame) -> bool {
    get_meta(frame.start_address).is_dll()
}
