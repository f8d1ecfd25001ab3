//! The GDT with a TSS for each CPU: flat 64-bit segments, seven interrupt stacks a CPU.
//!
//! All CPUs share the table (loading a task register only sets the busy bit of the CPU's own descriptor, Intel SDM
//! vol. 3A, 8.2.2), so a CPU's selector tells which one it is.

use super::stack::{self, IST_STACKS};
use core::arch::asm;
use shim_parts::MAX_CPUS;
use spin::Once;
use x86_64::instructions::segmentation::{Segment, CS, DS, ES, SS};
use x86_64::instructions::tables::load_tss;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable, SegmentSelector};
use x86_64::structures::tss::TaskStateSegment;
use x86_64::{PrivilegeLevel, VirtAddr};

/// Null, code, data, then two entries for each TSS (SDM vol. 3A, 8.2.3).
const ENTRIES: usize = FIRST_TSS + ENTRIES_PER_TSS * MAX_CPUS;
const FIRST_TSS: usize = 3;
const ENTRIES_PER_TSS: usize = 2;

struct Descriptors {
    gdt: GlobalDescriptorTable<ENTRIES>,
    code: SegmentSelector,
    data: SegmentSelector,
}

static TSS: Once<[TaskStateSegment; MAX_CPUS]> = Once::new();
static DESCRIPTORS: Once<Descriptors> = Once::new();

/// Builds both tables, and loads them on the CPU that booted.
pub fn init() {
    const { assert!(IST_STACKS == 7, "the TSS has seven IST entries") };
    let tss = TSS.call_once(|| core::array::from_fn(task_state));
    DESCRIPTORS.call_once(|| {
        let mut gdt = GlobalDescriptorTable::empty();
        let code = gdt.append(Descriptor::kernel_code_segment());
        let data = gdt.append(Descriptor::kernel_data_segment());
        for (cpu, tss) in tss.iter().enumerate() {
            let selector = gdt.append(Descriptor::tss_segment(tss));
            assert!(selector == tss_selector(cpu), "gdt: tss of cpu {cpu}: got {selector:?}");
        }
        Descriptors { gdt, code, data }
    });
    load(0);
}

fn task_state(cpu: usize) -> TaskStateSegment {
    let mut tss = TaskStateSegment::new();
    tss.interrupt_stack_table = core::array::from_fn(|index| VirtAddr::new(stack::ist_top(cpu, index)));
    tss
}

/// Loads both tables on this CPU, whose number is `cpu` from now on. Panics before [`init`].
pub fn load(cpu: usize) {
    let descriptors = DESCRIPTORS.get().expect("gdt: expected to be built");
    descriptors.gdt.load();
    // SAFETY: `code` names the 64-bit code segment of the table that was just loaded and is never freed. The code that runs
    // was in such a segment before.
    unsafe { CS::set_reg(descriptors.code) };
    for set in [SS::set_reg, DS::set_reg, ES::set_reg] {
        // SAFETY: `data` names the writable data segment of that table. In 64-bit mode its base is 0, as before.
        unsafe { set(descriptors.data) };
    }
    // SAFETY: the selector names the TSS descriptor of this CPU in that table; no other CPU loads it, and this one only here,
    // so it is not busy. `task_state` built the TSS, with tops of this CPU's stacks, which are mapped before the CPU starts.
    unsafe { load_tss(tss_selector(cpu)) };
}

const fn tss_selector(cpu: usize) -> SegmentSelector {
    SegmentSelector::new((FIRST_TSS + ENTRIES_PER_TSS * cpu) as u16, PrivilegeLevel::Ring0)
}

/// The CPU whose TSS a selector names. 0 when it names none.
pub fn cpu_of(tss: SegmentSelector) -> usize {
    (tss.index() as usize).saturating_sub(FIRST_TSS) / ENTRIES_PER_TSS
}

/// The selector of the running CPU's TSS.
pub fn task_register() -> SegmentSelector {
    let selector: u16;
    // SAFETY: copies a register, and touches neither memory nor flags.
    unsafe { asm!("str {0:x}", out(reg) selector, options(nomem, nostack, preserves_flags)) };
    SegmentSelector(selector)
}

/// The selectors of code and of the boot CPU's TSS. `None` before [`init`].
pub fn selectors() -> Option<(SegmentSelector, SegmentSelector)> {
    DESCRIPTORS.get().map(|descriptors| (descriptors.code, tss_selector(0)))
}
