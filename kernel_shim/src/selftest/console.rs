//! Checks of what identifies this guest to the host.

use super::{expect, Check, Verdict};
use crate::commands;
use crate::console::args;
use crate::console::banner;
use crate::console::text::Text;

pub const CHECKS: &[Check] = &[
    Check { name: "build id is in the image", run: build_id_is_there },
    Check { name: "commands have distinct names", run: names_are_distinct },
    Check { name: "numbers are read as the host writes them", run: numbers },
    Check { name: "text of bounded length keeps whole characters", run: text_keeps_characters },
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
    for command in commands::all() {
        let count = commands::all().filter(|other| other.name == command.name).count();
        expect(count == 1, format_args!("{} commands are called {}", count, command.name))?;
    }
    Ok(())
}

fn numbers() -> Verdict {
    let cases = [
        ("0", Some(0)),
        ("18446744073709551615", Some(u64::MAX)),
        ("0xffffffffffffffff", Some(u64::MAX)),
        ("0x1F", Some(31)),
        ("18446744073709551616", None),
        ("", None),
        ("0x", None),
        ("+1", None),
        ("0x+1", None),
        ("1f", None),
    ];
    for (text, expected) in cases {
        let got = args::parse("number", text, u64::MAX).ok();
        expect(got == expected, format_args!("{text} is read as {got:?}"))?;
    }
    Ok(())
}

/// The check value of CRC-32/ISO-HDLC in the catalogue of parametrised CRC algorithms.
fn checksum() -> Verdict {
    let crc = crc32fast::hash(b"123456789");
    expect(crc == 0xcbf4_3926, format_args!("got {crc:#x}"))
}

fn text_keeps_characters() -> Verdict {
    let text: Text<4> = Text::from_args(format_args!("abc\u{e9}"));
    expect(text.as_str() == "abc" && text.overflowed(), format_args!("got {} bytes", text.as_str().len()))
}
