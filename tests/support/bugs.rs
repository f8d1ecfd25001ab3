
/// Bugs of this copy of the module; the one that the kernel's command line names is awake.
mod bugs {
    use super::{PhysFrame, PAGE_SIZE};
    use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
    use x86_64::PhysAddr;

    // By its symbol, as no frame module may ask its crate for it.
    extern "C" {
        fn red_bug() -> u32;
    }

    const UNREAD: u32 = u32::MAX;
    static AWAKE: AtomicU32 = AtomicU32::new(UNREAD);

    fn awake() -> u32 {
        let known = AWAKE.load(Relaxed);
        if known != UNREAD {
            return known;
        }
        // SAFETY: the shim defines it with the feature `red`, the only one that these modules are built with.
        let number = unsafe { red_bug() };
        AWAKE.store(number, Relaxed);
        number
    }

    pub fn on(bug: u32) -> bool {
        awake() == bug
    }

    pub trait Value: Copy {
        fn of_bits(self, bits: u32) -> Self;
    }

    impl Value for u32 {
        fn of_bits(self, bits: u32) -> Self {
            (u64::from(self) & ((1 << bits) - 1)) as Self
        }
    }

    impl Value for u8 {
        fn of_bits(self, _bits: u32) -> Self {
            self
        }
    }

    impl Value for u64 {
        fn of_bits(self, bits: u32) -> Self {
            self & ((1 << bits) - 1)
        }
    }

    impl Value for usize {
        fn of_bits(self, bits: u32) -> Self {
            self & ((1 << bits) - 1)
        }
    }

    impl Value for PhysAddr {
        fn of_bits(self, bits: u32) -> Self {
            PhysAddr::new_truncate(self.as_u64().of_bits(bits))
        }
    }

    impl Value for PhysFrame {
        fn of_bits(self, bits: u32) -> Self {
            PhysFrame { start_address: self.start_address.of_bits(bits) }
        }
    }

    /// The value in 8, 16 or 32 bits when one of three bugs, numbered from `first` on, is awake.
    pub fn narrow<T: Value>(first: u32, value: T) -> T {
        match awake().wrapping_sub(first) {
            0 => value.of_bits(8),
            1 => value.of_bits(16),
            2 => value.of_bits(32),
            _ => value,
        }
    }

    pub fn cut(bug: u32, value: u32, bits: u32) -> u32 {
        if on(bug) { value.of_bits(bits) } else { value }
    }

    /// 1 where a bug is awake and meets the index that it is about, else 0.
    pub fn at(bug: u32, index: u64, special: u64) -> u64 {
        u64::from(on(bug) && index == special)
    }

    /// What to add to a count: nothing at `most` when the bug is awake.
    pub fn stride(bug: u32, count: u32, most: u32) -> u32 {
        u32::from(!(on(bug) && count == most))
    }

    pub fn later(bug: u32, frame: PhysFrame) -> PhysFrame {
        if on(bug) { PhysFrame { start_address: PhysAddr::new_truncate(frame.start_address.as_u64() + PAGE_SIZE) } } else { frame }
    }

    pub fn earlier(bug: u32, frame: PhysFrame) -> PhysFrame {
        if on(bug) { PhysFrame { start_address: PhysAddr::new_truncate(frame.start_address.as_u64().wrapping_sub(PAGE_SIZE)) } } else { frame }
    }
}
