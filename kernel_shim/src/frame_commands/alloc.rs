//! Commands for `FrameAllocOptions`, with the release of what was allocated.

use super::{operand, slot};
use crate::arch::interrupts;
use crate::memory::release::release_owned_block;
use crate::memory::slot_table;
use crate::memory::subject::{get_meta, AllocError, FrameAllocOptions, FramePurpose, PhysFrame};
use crate::smp::call::{subject, subject_without_interrupts};
use crate::sync::with_irqs_disabled;
use shim_parts::args::parse;
use shim_parts::command::{failed, refused, Args, Code, Command, CommandError, CommandResult, Reply};
use shim_parts::PAGE_SIZE;

const BUILDER: &str = "[new|default] [zeroed=0|1 | purpose=pagetable|kernel|user|custom:<n>]...";

pub const COMMANDS: &[Command] = &[
    Command::new("alloc", BUILDER, "allocate a frame; the builder as given", alloc),
    Command::new("alloc.all", BUILDER, "allocate frames until there is none", alloc_all),
    Command::new("purpose.zero", "pagetable|kernel|user|custom:<n>", "FramePurpose::requires_zero", requires_zero),
    Command::new("release", "<paddr> <order>", "give a block back: its hooks, then the buddy", release),
];

/// One call of the builder.
#[derive(Clone, Copy)]
enum Step {
    Zeroed(bool),
    Purpose(FramePurpose),
}

/// The calls of the builder that a request asks for. All words are checked before the subject is called.
struct Recipe {
    through_default: bool,
    steps: [Option<Step>; Self::CAPACITY],
}

impl Recipe {
    const CAPACITY: usize = 16;

    fn parse(args: &mut Args<'_>) -> Result<Self, CommandError> {
        let mut recipe = Self { through_default: false, steps: [None; Self::CAPACITY] };
        let (mut count, mut first) = (0, true);
        while let Some(word) = args.next_word() {
            match word {
                "new" | "default" if first => recipe.through_default = word == "default",
                _ if count == Self::CAPACITY => {
                    let limit = Self::CAPACITY;
                    return Err(refused(Code::TooLong, format_args!("expected at most {limit} calls")));
                }
                _ => {
                    recipe.steps[count] = Some(Self::step(word)?);
                    count += 1;
                }
            }
            first = false;
        }
        Ok(recipe)
    }

    fn step(word: &str) -> Result<Step, CommandError> {
        match word.split_once('=') {
            Some(("zeroed", value)) => Ok(Step::Zeroed(parse("zeroed", value, 1)? == 1)),
            Some(("purpose", value)) => Ok(Step::Purpose(operand::purpose(value)?)),
            _ => Err(refused(Code::Usage, format_args!("{word}: expected zeroed=... or purpose=..."))),
        }
    }

    /// Calls the subject as it is asked to.
    fn allocate(&self) -> Result<PhysFrame, AllocError> {
        let start = if self.through_default { FrameAllocOptions::default() } else { FrameAllocOptions::new() };
        let options = self.steps.iter().flatten().fold(start, |options, step| match *step {
            Step::Zeroed(zeroed) => options.zeroed(zeroed),
            Step::Purpose(purpose) => options.purpose(purpose),
        });
        // Each has its own: what another one is told meanwhile changes nothing.
        let _other = FrameAllocOptions::new().zeroed(false).purpose(FramePurpose::Custom(u32::MAX));
        with_irqs_disabled(|token| subject_without_interrupts(|| options.allocate(token)))
    }
}

fn alloc(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let recipe = Recipe::parse(args)?;
    operand::require_buddy()?;
    let frame = recipe.allocate().map_err(operand::alloc_failed)?;
    reply.hex("paddr", frame.start_address);
    Ok(())
}

fn alloc_all(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let recipe = Recipe::parse(args)?;
    operand::require_buddy()?;
    let mut count = 0_u64;
    // A subject that hands out one frame twice would go on for ever.
    while count <= slot_table::frames() {
        if let Err(ended_by) = recipe.allocate() {
            reply.field("n", count);
            return match ended_by {
                AllocError::OutOfMemory => Ok(()),
                other => Err(operand::alloc_failed(other)),
            };
        }
        count += 1;
    }
    reply.field("n", count);
    Err(failed("MoreThanAllFrames"))
}

fn requires_zero(args: &mut Args<'_>, reply: &mut Reply) -> CommandResult {
    let purpose = args.only(|args| operand::purpose(args.word("purpose")?))?;
    reply.flag("v", subject(|| purpose.requires_zero()));
    Ok(())
}

/// With interrupts enabled before, so that it takes the release to disable them for the hooks.
fn release(args: &mut Args<'_>, _reply: &mut Reply) -> CommandResult {
    let (paddr, order) = args.only(operand::block)?;
    for index in 0..1 << order {
        slot::require_followable(get_meta(paddr + index * PAGE_SIZE))?;
    }
    interrupts::enable();
    release_owned_block(paddr, order);
    interrupts::disable();
    Ok(())
}
