//! Tests of texts of bounded length, numbers, encodings.

use crate::args::{parse, Args};
use crate::text::{HexBytes, PercentEncoded, Text};
use std::format;

#[test]
fn bounded_text_keeps_whole_characters() {
    let text: Text<4> = Text::from_args(format_args!("abc\u{e9}"));
    assert_eq!((text.as_str(), text.overflowed()), ("abc", true));
}

#[test]
fn bounded_text_appends_nothing_after_it_overflowed() {
    let text: Text<4> = Text::from_args(format_args!("{}{}", "abc\u{e9}", "d"));
    assert_eq!(text.as_str(), "abc");
}

#[test]
fn percent_encoding_makes_one_word() {
    assert_eq!(format!("{}", PercentEncoded("a b%\n\u{e9}")), "a%20b%25%0a%c3%a9");
}

#[test]
fn bytes_are_shown_in_address_order() {
    assert_eq!(format!("{}", HexBytes(&[0x01, 0xab])), "01ab");
}

#[test]
fn numbers_are_decimal_or_hexadecimal_without_a_sign() {
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
        assert_eq!(parse("number", text, u64::MAX).ok(), expected, "{text}");
    }
}

#[test]
fn a_number_above_its_limit_is_refused() {
    assert_eq!(Args::new("255").u8("order").ok(), Some(255));
    assert!(Args::new("256").u8("order").is_err());
    assert!(Args::new("4294967296").u32("count").is_err());
}

#[test]
fn words_are_separated_by_any_number_of_spaces() {
    let mut args = Args::new("  a   b ");
    assert_eq!([args.next_word(), args.next_word(), args.next_word()], [Some("a"), Some("b"), None]);
}

#[test]
fn a_word_that_is_left_is_refused() {
    let mut args = Args::new("7 8");
    assert_eq!(args.u64("n").ok(), Some(7));
    assert!(args.end().is_err());
}

#[test]
fn hex_bytes_are_refused_when_they_are_half_a_byte_or_too_many() {
    let mut buffer = [0; 2];
    assert_eq!(Args::new("0aFf").hex("bytes", &mut buffer).ok(), Some(&[0x0a, 0xff][..]));
    for word in ["0", "0g", "000000", "+1"] {
        assert!(Args::new(word).hex("bytes", &mut buffer).is_err(), "{word}");
    }
}
