//! The frames that a CPU's program holds.

use crate::cpus::record::{count, Counters};
#[cfg(lacks = "MetaSlot.meta_aux")]
use crate::memory::absent::meta_aux;
use crate::memory::buddy;
use crate::memory::phys_to_virt;
use crate::memory::release::release_owned_block;
#[cfg(older)]
use crate::memory::subject::SlotMethods as _;
use crate::memory::subject::{get_meta, FrameAllocOptions, FramePurpose, MetaSlot, PhysFrame};
use crate::sync::with_irqs_disabled;
use core::ptr;
use core::sync::atomic::Ordering::{AcqRel, Relaxed};
use core::sync::atomic::{AtomicU32, AtomicU64};
use shim_parts::zone::Migratetype;
use shim_parts::PAGE_SIZE;
use x86_64::PhysAddr;

/// The largest number of blocks that a CPU holds.
const CAPACITY: usize = 64;

#[derive(Clone, Copy)]
pub struct Block {
    pub paddr: u64,
    pub order: u8,
    /// Hooks are registered for its frames.
    hooked: bool,
}

/// An expectation about a frame that does not hold.
pub struct Broken {
    pub paddr: u64,
    pub expected: u64,
    pub got: u64,
}

/// The blocks, with the mark that this CPU leaves in the slots of frames it owns.
pub struct Held {
    blocks: [Block; CAPACITY],
    length: usize,
    mark: u32,
}

impl Held {
    pub const fn new(cpu: usize) -> Self {
        let none = Block { paddr: 0, order: 0, hooked: false };
        Self { blocks: [none; CAPACITY], length: 0, mark: cpu as u32 + 1 }
    }

    pub fn len(&self) -> usize {
        self.length
    }

    pub fn is_full(&self) -> bool {
        self.length == CAPACITY
    }

    pub fn top(&self) -> Option<Block> {
        self.blocks[..self.length].last().copied()
    }

    /// A frame through the subject.
    pub fn allocate(&mut self, purpose: FramePurpose, zeroed: bool, tally: &Counters) -> Result<u64, Broken> {
        let options = FrameAllocOptions::new().purpose(purpose).zeroed(zeroed);
        match with_irqs_disabled(|token| options.allocate(token)) {
            Ok(frame) => {
                count(&tally.allocated);
                self.take(frame, 0)
            }
            Err(_) => {
                count(&tally.out_of_memory);
                Ok(0)
            }
        }
    }

    /// A block from the buddy, which nobody claims.
    pub fn take_block(&mut self, order: u8, wanted: Migratetype, tally: &Counters) -> Result<u64, Broken> {
        match with_irqs_disabled(|token| buddy::alloc_migratetype(token, order, wanted)) {
            Ok(frame) => self.take(frame, order),
            Err(_) => {
                count(&tally.out_of_memory);
                Ok(0)
            }
        }
    }

    /// Marks each frame as this CPU's. No other mark may be there.
    fn take(&mut self, frame: PhysFrame, order: u8) -> Result<u64, Broken> {
        let paddr = frame.start_address.as_u64();
        self.blocks[self.length] = Block { paddr, order, hooked: false };
        self.length += 1;
        let block = self.blocks[self.length - 1];
        self.exchange_marks(block, 0, self.mark)?;
        payload(paddr).store(self.tag(paddr), Relaxed);
        Ok(paddr)
    }

    /// The owner field is one that neither buddy nor subject writes. AcqRel: who finds another's mark sees what it did.
    fn exchange_marks(&self, block: Block, expected: u32, mark: u32) -> Result<(), Broken> {
        for index in 0..1_u64 << block.order {
            let paddr = block.paddr + index * PAGE_SIZE;
            let got = meta_aux(slot(paddr)).swap(mark, AcqRel);
            if got != expected {
                return Err(Broken { paddr, expected: expected.into(), got: got.into() });
            }
        }
        Ok(())
    }

    /// Leaves this CPU's mark in the slot of a frame for a moment. No other mark may be there or come there.
    pub fn own(&self, paddr: u64) -> Result<u64, Broken> {
        let block = Block { paddr, order: 0, hooked: false };
        self.exchange_marks(block, 0, self.mark)?;
        self.exchange_marks(block, self.mark, 0)?;
        Ok(1)
    }

    fn tag(&self, paddr: u64) -> u64 {
        paddr << 8 | u64::from(self.mark)
    }

    /// Registers hooks for the frame on top. A block of the buddy gets none.
    pub fn hook_if_frame(&mut self, vtable: u64) {
        if let Some(frame) = self.blocks[..self.length].last_mut().filter(|block| block.order == 0) {
            slot(frame.paddr).set_vtable_bits(vtable);
            frame.hooked = true;
        }
    }

    /// Gives back the block at `index`: the last reference, the hooks, the buddy.
    pub fn release(&mut self, index: usize, tally: &Counters) -> Result<u64, Broken> {
        if index >= self.length {
            return Ok(0);
        }
        let block = self.blocks[index];
        self.length -= 1;
        self.blocks[index] = self.blocks[self.length];
        let paddr = block.paddr;
        let (expected, got) = (self.tag(paddr), payload(paddr).load(Relaxed));
        if got != expected {
            return Err(Broken { paddr, expected, got });
        }
        self.exchange_marks(block, self.mark, 0)?;
        if block.order > 0 {
            let frame = PhysFrame { start_address: PhysAddr::new(paddr) };
            with_irqs_disabled(|token| buddy::free(token, frame, block.order));
            return Ok(paddr);
        }
        let before = slot(paddr).dec_ref();
        if before != 1 {
            return Err(Broken { paddr, expected: 1, got: before.into() });
        }
        count(&tally.last_refs);
        let hooks = |tally: &Counters| (tally.on_last_ref.load(Relaxed), tally.on_unmap.load(Relaxed));
        let (last_ref, unmap) = hooks(tally);
        release_owned_block(PhysAddr::new(paddr), 0);
        count(&tally.released);
        let (last_ref, unmap) = (hooks(tally).0 - last_ref, hooks(tally).1 - unmap);
        let calls = u64::from(block.hooked);
        if (last_ref, unmap) != (calls, calls) {
            return Err(Broken { paddr, expected: calls << 32 | calls, got: last_ref << 32 | unmap });
        }
        Ok(paddr)
    }
}

/// The slot of a frame, from the subject.
pub fn slot(paddr: u64) -> &'static MetaSlot {
    get_meta(PhysAddr::new(paddr))
}

/// The field that takes the marks.
#[cfg(not(lacks = "MetaSlot.meta_aux"))]
fn meta_aux(slot: &MetaSlot) -> &AtomicU32 {
    &slot.meta_aux
}

/// The first word of a frame, by the frame's address, or any other one by its own.
pub fn payload(paddr: u64) -> &'static AtomicU64 {
    let word = ptr::with_exposed_provenance_mut::<u64>(phys_to_virt(paddr) as usize);
    // SAFETY: the address is that of a word, so it is aligned. The frame is the buddy's, which gave it or which `smp.frames` asked,
    // so it is RAM that the HHDM maps for good. Programs that hold it by mistake, too, reach its words by atomic accesses only.
    unsafe { AtomicU64::from_ptr(word) }
}
