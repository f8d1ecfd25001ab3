//! Checks of the console: the build id, the commands, numbers, texts, checksums.

use super::check::{expect, Check, Verdict};
use crate::console::{banner, table};

pub const CHECKS: &[Check] = &[
    Check { name: "build id is in the image", run: build_id_is_there },
    Check { name: "commands have distinct names", run: names_are_distinct },
    Check { name: "checksum of a dump is CRC-32", run: checksum },
];

/// SHA-1, as build.rs asks for.
const BUILD_ID_BYTES: usize = 20;

fn build_id_is_there() -> Verdict {
    let id = banner::build_id();
    expect(id.len() == BUILD_ID_BYTES, format_args!("expected {BUILD_ID_BYTES} bytes, got {}", id.len()))?;
    expect(id.iter().any(|&byte| byte != 0), format_args!("all bytes are zero"))
}

fn names_are_distinct() -> Verdict {
    for command in table::all() {
        let count = table::all().filter(|other| other.name == command.name).count();
        expect(count == 1, format_args!("{} commands are called {}", count, command.name))?;
    }
    Ok(())
}

/// The check value of CRC-32/ISO-HDLC in the catalogue of parametrised CRC algorithms.
fn checksum() -> Verdict {
    let crc = crc32fast::hash(b"123456789");
    expect(crc == 0xcbf4_3926, format_args!("got {crc:#x}"))
}
