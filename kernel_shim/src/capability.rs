//! The name of a capability, at the path where a kernel has it: its ownership table counts by these.

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CapId(u64);

// A core uses what it needs of it.
#[allow(dead_code)]
impl CapId {
    pub fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    pub fn as_u64(self) -> u64 {
        self.0
    }
}
