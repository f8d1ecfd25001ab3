//! Tests of the checksum of a dump.

use crate::checksum::add_run;
use crc32fast::Hasher;

#[test]
fn the_checksum_is_crc_32() {
    // The check value of CRC-32/ISO-HDLC in the catalogue of parametrised CRC algorithms.
    assert_eq!(crc32fast::hash(b"123456789"), 0xcbf4_3926);
}

#[test]
fn a_run_counts_as_its_slots_one_by_one() {
    let slot = [0xa5; 64];
    for run in [1, 2, 3, 64, 1000] {
        let (mut at_once, mut one_by_one) = (Hasher::new(), Hasher::new());
        add_run(&mut at_once, &slot, run);
        (0..run).for_each(|_| one_by_one.update(&slot));
        assert_eq!(at_once.finalize(), one_by_one.finalize(), "{run}");
    }
}
