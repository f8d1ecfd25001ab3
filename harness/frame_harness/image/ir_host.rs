//! The smallest crate that a frame module compiles in: what it is promised, and nothing that could be inlined.
#![no_std]
#![allow(dead_code, improper_ctypes)]

/// How this was compiled, see the shim's `codegen`.
pub mod evidence;

extern crate alloc;

#[macro_export]
macro_rules! serial_println {
    ($($arg:tt)*) => { $crate::print_line(format_args!($($arg)*)) };
}

#[macro_export]
macro_rules! serial_print {
    ($($arg:tt)*) => { $crate::print_line(format_args!($($arg)*)) };
}

#[inline(never)]
pub fn print_line(text: core::fmt::Arguments<'_>) {
    unsafe extern "C" {
        fn print(text: *const core::fmt::Arguments<'_>);
    }
    // SAFETY: never linked, never run.
    unsafe { print(&raw const text) }
}

// `pub mod memory`, with the frame module in it and all that `around` has.
include!(env!("FRAME_HARNESS_SUBJECT"));

pub mod around {
    /// Never linked: the compiler must not know what these do.
    mod elsewhere {
        unsafe extern "C" {
            pub fn reserve(size: usize, align: usize) -> u64;
            pub fn take(order: u8, movable: bool) -> u64;
            pub fn give(paddr: u64, order: u8);
            pub fn translate(paddr: u64) -> u64;
        }
    }

    pub mod boot_alloc {
        use x86_64::PhysAddr;

        pub struct BootAllocator {
            _next: u64,
        }

        impl BootAllocator {
            #[inline(never)]
            pub fn try_alloc_accessible(&mut self, size: usize, align: usize) -> Option<PhysAddr> {
                // SAFETY: never linked, never run.
                match unsafe { super::elsewhere::reserve(size, align) } {
                    0 => None,
                    paddr => Some(PhysAddr::new_truncate(paddr)),
                }
            }

            #[inline(never)]
            pub fn try_alloc(&mut self, size: usize, align: usize) -> Option<PhysAddr> {
                self.try_alloc_accessible(size, align)
            }

            #[cfg(not(may_fail))]
            #[inline(never)]
            pub fn alloc(&mut self, size: usize, align: usize) -> PhysAddr {
                // SAFETY: never linked, never run.
                PhysAddr::new_truncate(unsafe { super::elsewhere::reserve(size, align) })
            }
        }
    }

    pub mod zone {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Migratetype {
            Unmovable,
            Movable,
        }
    }

    pub mod buddy {
        use crate::memory::frame::{AllocError, PhysFrame};
        use super::zone::Migratetype;
        use crate::sync::IrqDisabledToken;
        use x86_64::PhysAddr;

        #[inline(never)]
        pub fn alloc_migratetype(
            _token: &IrqDisabledToken,
            order: u8,
            migratetype: Migratetype,
        ) -> Result<PhysFrame, AllocError> {
            // SAFETY: never linked, never run.
            match unsafe { super::elsewhere::take(order, migratetype == Migratetype::Movable) } {
                0 => Err(AllocError::OutOfMemory),
                1 => Err(AllocError::InvalidOrder),
                paddr => Ok(PhysFrame { start_address: PhysAddr::new_truncate(paddr) }),
            }
        }

        #[inline(never)]
        pub fn alloc(token: &IrqDisabledToken, order: u8) -> Result<PhysFrame, AllocError> {
            alloc_migratetype(token, order, Migratetype::Unmovable)
        }

        #[inline(never)]
        pub fn free(_token: &IrqDisabledToken, frame: PhysFrame, order: u8) {
            // SAFETY: never linked, never run.
            unsafe { super::elsewhere::give(frame.start_address.as_u64(), order) }
        }
    }

    #[inline(never)]
    pub fn phys_to_virt(paddr: u64) -> u64 {
        // SAFETY: never linked, never run.
        unsafe { elsewhere::translate(paddr) }
    }
}

pub mod sync {
    pub struct IrqDisabledToken(());
}
