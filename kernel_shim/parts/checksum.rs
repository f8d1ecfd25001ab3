//! The checksum of a dump: CRC-32 of runs of equal slots.

use crc32fast::Hasher;

/// Adds `run` equal slots to a checksum, in as many steps as `run` has bits.
pub fn add_run(crc: &mut Hasher, slot: &[u8], run: u64) {
    let mut part = Hasher::new();
    part.update(slot);
    let mut left = run;
    loop {
        if left & 1 == 1 {
            crc.combine(&part);
        }
        left >>= 1;
        if left == 0 {
            return;
        }
        part.combine(&part.clone());
    }
}
