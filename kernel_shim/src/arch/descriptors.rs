//! The GDT with its TSS: flat 64-bit segments, one interrupt stack per IST index.

use super::stack::{self, IST_STACKS};
use core::arch::asm;
use spin::Once;
use x86_64::instructions::segmentation::{Segment, CS, DS, ES, SS};
use x86_64::instructions::tables::load_tss;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable, SegmentSelector};
use x86_64::structures::tss::TaskStateSegment;
use x86_64::VirtAddr;

struct Descriptors {
    gdt: GlobalDescriptorTable,
    code: SegmentSelector,
    data: SegmentSelector,
    tss: SegmentSelector,
}

static TSS: Once<TaskStateSegment> = Once::new();
static DESCRIPTORS: Once<Descriptors> = Once::new();

/// Loads both tables on this CPU.
pub fn init() {
    let tss = TSS.call_once(|| {
        let mut tss = TaskStateSegment::new();
        tss.interrupt_stack_table = core::array::from_fn(|index| VirtAddr::new(stack::ist_top(index)));
        tss
    });
    const { assert!(IST_STACKS == 7, "the TSS has seven IST entries") };
    let descriptors = DESCRIPTORS.call_once(|| {
        let mut gdt = GlobalDescriptorTable::new();
        let code = gdt.append(Descriptor::kernel_code_segment());
        let data = gdt.append(Descriptor::kernel_data_segment());
        let tss = gdt.append(Descriptor::tss_segment(tss));
        Descriptors { gdt, code, data, tss }
    });
    descriptors.gdt.load();
    // SAFETY: the selectors name the code, data and TSS descriptors of the table just loaded, which is never freed.
    unsafe {
        CS::set_reg(descriptors.code);
        SS::set_reg(descriptors.data);
        DS::set_reg(descriptors.data);
        ES::set_reg(descriptors.data);
        load_tss(descriptors.tss);
    }
}

/// What the CPU uses as its TSS.
pub fn task_register() -> SegmentSelector {
    let selector: u16;
    // SAFETY: copies a register.
    unsafe { asm!("str {0:x}", out(reg) selector, options(nomem, nostack, preserves_flags)) };
    SegmentSelector(selector)
}

/// The selectors of code and TSS; `None` before [`init`].
pub fn selectors() -> Option<(SegmentSelector, SegmentSelector)> {
    DESCRIPTORS.get().map(|descriptors| (descriptors.code, descriptors.tss))
}
