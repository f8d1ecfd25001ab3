//! What a kernel's memory core asks for about CPUs, at the path where the kernel has it.

pub mod percpu {
    use crate::arch::cpu;
    use crate::cpus::record::SMP;

    /// The sizes of a core's tables. It is more than the shim starts.
    pub const MAX_CPUS: usize = 32;

    pub fn current_cpu_index() -> usize {
        cpu::asking()
    }

    pub fn cpu_count() -> usize {
        SMP.ready() as usize
    }
}
