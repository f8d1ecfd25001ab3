//! Commands for the content of frames.

use super::operand;
use crate::memory::{phys_to_virt, scan};
use core::ptr;
use shim_parts::command::{refused, Args, Code, Command, CommandError, CommandResult, Reply};
use shim_parts::PAGE_SIZE;
use x86_64::PhysAddr;

pub const COMMANDS: &[Command] = &[
    Command::new("payload.fill", "<paddr> <byte> [frames]", "fill whole frames", fill),
    Command::new(
        "payload.verify",
        "<paddr> <byte> [frames]",
        "whether whole frames hold nothing else; at is the first that differs",
        verify,
    ),
    Command::new("payload.peek", "<paddr> <len>", "show up to 1024 bytes", peek),
    Command::new("payload.poke", "<paddr> <hex>", "overwrite bytes", poke),
];

/// The number of bytes that fit into a reply as hex digits.
const MAX_PEEK: u64 = 1024;

/// Bytes of RAM. A pointer, not a slice: anybody may own the frames and access them at the same time.
struct Bytes {
    first: *mut u8,
    length: usize,
}

impl Bytes {
    fn checked(paddr: PhysAddr, length: u64) -> Result<Self, CommandError> {
        operand::require_ram(paddr, length)?;
        let vaddr = phys_to_virt(paddr.as_u64()) as usize;
        Ok(Self { first: ptr::with_exposed_provenance_mut(vaddr), length: length as usize })
    }

    /// `<paddr> <byte> [frames]`: the frames from the one that `paddr` lies in.
    fn whole_frames(args: &mut Args<'_>) -> Result<(PhysAddr, Self, u8), CommandError> {
        let start = operand::paddr(args)?.align_down(PAGE_SIZE);
        let byte = args.u8("byte")?;
        let frames = args.u64_or("frames", 1)?;
        args.end()?;
        let length = frames.checked_mul(PAGE_SIZE).filter(|&length| length > 0);
        let length = length.ok_or_else(|| refused(Code::Range, format_args!("{frames} frames: none, or too many")))?;
        Ok((start, Self::checked(start, length)?, byte))
    }

    fn read(&self, index: usize) -> u8 {
        assert!(index < self.length, "payload: byte {index}: expected below {}", self.length);
        // SAFETY: `checked` made sure that these bytes are RAM, which the HHDM maps, and the index is inside. The owner of the
        // frame may write meanwhile: a volatile read loads the byte once, as it is.
        unsafe { self.first.wrapping_add(index).read_volatile() }
    }

    fn first_other(&self, byte: u8) -> Option<usize> {
        // SAFETY: `checked` made sure that all of these bytes are RAM, which the HHDM maps.
        unsafe { scan::first_other_byte(self.first, self.length, byte) }
    }

    fn fill(&self, byte: u8) {
        // SAFETY: `checked` made sure that these bytes are usable RAM, which the HHDM maps writable. Neither the kernel nor the
        // slot table is among them, and the frames hold no value of the shim.
        unsafe { scan::fill(self.first, self.length, byte) }
    }

    fn write(&self, bytes: &[u8]) {
        assert!(bytes.len() <= self.length, "payload: {} bytes: expected at most {}", bytes.len(), self.length);
        // SAFETY: `bytes` is mapped like all that a reference leads to. `checked` made sure that the others are usable RAM, mapped
        // and nobody's as for `fill`, and there are enough of them, as the assertion says. `bytes` lies on the kernel's stack,
        // which is no usable RAM, so the two do not overlap.
        unsafe { scan::copy(bytes.as_ptr(), self.first, bytes.len()) }
    }
}

fn fill(args: &mut Args<'_>, _reply: &mut Reply) -> CommandResult {
    let (_, payload, byte) = Bytes::whole_frames(args)?;
    payload.fill(byte);
    Ok(())
}

fn verify(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let (start, payload, byte) = Bytes::whole_frames(args)?;
    let differs = payload.first_other(byte);
    reply.flag("v", differs.is_none());
    if let Some(index) = differs {
        reply.hex("at", start + index as u64);
    }
    Ok(())
}

fn peek(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let (paddr, length) = (operand::paddr(args)?, args.u64("len")?);
    args.end()?;
    if length > MAX_PEEK {
        return Err(refused(Code::Range, format_args!("{length} bytes: expected at most {MAX_PEEK}")));
    }
    let payload = Bytes::checked(paddr, length)?;
    let mut bytes = [0; MAX_PEEK as usize];
    let bytes = &mut bytes[..length as usize];
    bytes.iter_mut().enumerate().for_each(|(index, byte)| *byte = payload.read(index));
    reply.bytes("bytes", bytes);
    Ok(())
}

fn poke(args: &mut Args<'_>, _reply: &mut Reply) -> CommandResult {
    let paddr = operand::paddr(args)?;
    let mut buffer = [0; MAX_PEEK as usize];
    let bytes = args.hex("hex", &mut buffer)?;
    args.end()?;
    Bytes::checked(paddr, bytes.len() as u64)?.write(bytes);
    Ok(())
}
