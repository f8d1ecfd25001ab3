//! A switch of a kernel's for tracing, which its memory core looks at. It is off.

pub fn debug_boot_reg_active() -> bool {
    false
}
