//! Pseudorandom numbers that can be repeated.

/// xorshift64 (Marsaglia, 2003). The state is never 0.
pub struct Random(u64);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(if seed == 0 { 1 } else { seed })
    }

    pub fn state(&self) -> u64 {
        self.0
    }

    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `limit`, which must not be 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        (self.number() >> 16) % limit
    }
}

/// A page of bytes that are not zero and not the same everywhere. The number is ours: any odd one spreads small seeds.
pub fn garbage_page(seed: u64) -> [u8; crate::PAGE_SIZE as usize] {
    let mut random = Random::new(0x9e37_79b9_7f4a_7c15 ^ seed);
    core::array::from_fn(|_| (random.number() >> 56) as u8 | 1)
}
