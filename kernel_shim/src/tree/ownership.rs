//! Commands for the ownership of blocks.

use crate::capability::CapId;
use crate::memory::{
    ownership_table, release_owned_block, resolve_handle, BlockHandle, OwnerError, PhysBlock, RemoveRefResult,
};
use crate::memory_core::{address, named_address};
use core::fmt;
use shim_parts::command::{failed, Args, Command, CommandError, CommandResult, Reply};
use shim_parts::text::Text;

pub const COMMANDS: &[Command] = &[
    Command::new("block.handle", "<base> <order>", "what a handle says of its block", handle),
    Command::new("own.claim", "<base> <order> <cap>", "claim a block that was allocated", claim),
    Command::new(
        "own.ensure",
        "<base> <order> <cap>",
        "add a capability; claim the block where nobody owns it",
        ensure,
    ),
    Command::new("own.add", "<base> <order> <cap>", "add a capability to an owned block", add),
    Command::new("own.remove", "<base> <order> <cap>", "remove a capability; the last reference frees", remove),
    Command::new("own.release", "<base> <order> <cap>", "give a block back as its only owner", release),
    Command::new("own.pin", "<base> <order>", "add a reference without a capability", pin),
    Command::new("own.unpin", "<base> <order>", "remove such a reference; the last one frees", unpin),
    Command::new("own.get", "<base> <order>", "the entry of a block: found=0, or what it holds", get),
    Command::new("own.find", "<paddr>", "the owned block that begins there, and the one around it", find),
    Command::new("own.resolve", "<paddr>", "the handle for an address, owned or not", resolve),
];

/// The word for an error of the core's. Its variants may differ between versions.
pub fn error(error: OwnerError) -> CommandError {
    const WORDS: [&str; 6] =
        ["NotFound", "DoubleClaim", "CapAlreadyPresent", "CapNotFound", "StillReferenced", "CountOverflow"];
    let text = Text::<32>::from_args(format_args!("{error:?}"));
    failed(WORDS.into_iter().find(|&word| word == text.as_str()).unwrap_or("Other"))
}

fn block(args: &mut Args<'_>) -> Result<BlockHandle, CommandError> {
    Ok(BlockHandle::new(named_address(args, "base")?, args.u8("order")?))
}

fn block_and_cap(args: &mut Args<'_>) -> Result<(BlockHandle, CapId), CommandError> {
    let asked = (block(args)?, CapId::from_raw(args.u64("cap")?));
    args.end()?;
    Ok(asked)
}

fn handle(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let handle = args.only(block)?;
    reply.hex("size", handle.size_bytes());
    reply.field("pages", handle.page_count());
    reply.flag("valid", handle.is_valid());
    Ok(())
}

fn claim(args: &mut Args<'_>, _reply: &mut Reply) -> CommandResult {
    let (handle, cap) = block_and_cap(args)?;
    ownership_table().claim(PhysBlock::from_handle(handle), cap).map(drop).map_err(error)
}

fn ensure(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let (handle, cap) = block_and_cap(args)?;
    let state = ownership_table().ensure_ref(handle, cap).map_err(error)?;
    reply.debug("state", &state);
    Ok(())
}

fn add(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let (handle, cap) = block_and_cap(args)?;
    let state = ownership_table().add_ref(handle, cap).map_err(error)?;
    reply.debug("state", &state);
    Ok(())
}

fn remove(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let (handle, cap) = block_and_cap(args)?;
    finish(ownership_table().remove_ref(handle, cap), reply)
}

/// As a kernel does it: who removes the last reference gives the block back.
fn finish(result: Result<RemoveRefResult, OwnerError>, reply: &mut Reply) -> CommandResult {
    match result.map_err(error)? {
        RemoveRefResult::Freed(block) => {
            reply.field("left", 0);
            release_owned_block(block);
        }
        RemoveRefResult::NowExclusive { remaining_cap } => {
            reply.field("left", 1);
            reply.field("cap", remaining_cap.as_u64());
        }
        RemoveRefResult::StillPinned { transient_refs } => {
            reply.field("left", transient_refs);
        }
        RemoveRefResult::StillShared { refcount } => reply.field("left", refcount),
    }
    Ok(())
}

fn release(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let (handle, cap) = block_and_cap(args)?;
    let block = ownership_table().release(PhysBlock::from_handle(handle), cap).map_err(error)?;
    reply.field("left", 0);
    release_owned_block(block);
    Ok(())
}

fn pin(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let handle = args.only(block)?;
    reply.field("count", ownership_table().pin(handle).map_err(error)?);
    Ok(())
}

fn unpin(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let handle = args.only(block)?;
    finish(ownership_table().unpin(handle), reply)
}

fn get(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let handle = args.only(block)?;
    let entry = ownership_table().get(handle);
    reply.flag("found", entry.is_some());
    let Some(entry) = entry else {
        return Ok(());
    };
    reply.debug("state", &entry.state);
    reply.field("count", entry.refcount);
    reply.field("asked", ownership_table().refcount(handle).unwrap_or(0));
    reply.field("pins", entry.transient_refs);
    reply.field("caps", Caps(&entry.caps));
    Ok(())
}

/// Capabilities in one word, with commas between.
struct Caps<'a>(&'a [CapId]);

impl fmt::Display for Caps<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        self.0.iter().enumerate().try_for_each(|(index, cap)| {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{}", cap.as_u64())
        })
    }
}

fn find(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let paddr = args.only(address)?;
    show(reply, ["begins", "begins_order"], ownership_table().handle_for_base(paddr));
    show(reply, ["around", "around_order"], ownership_table().handle_containing(paddr));
    Ok(())
}

/// A handle in two fields; nothing where there is none.
fn show(reply: &mut Reply, [base, order]: [&str; 2], handle: Option<BlockHandle>) {
    if let Some(handle) = handle {
        reply.hex(base, handle.base.as_u64());
        reply.field(order, handle.order);
    }
}

fn resolve(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let paddr = args.only(address)?;
    show(reply, ["base", "order"], Some(resolve_handle(paddr)));
    Ok(())
}
