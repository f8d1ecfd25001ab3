//! Tests of the kernel command line.

use super::expect_panic;
use crate::command_line::{parse_cpus, parse_hex, parse_on_panic, CommandLine, Stage};

#[test]
fn a_later_word_overrides_an_earlier_one() {
    let line = CommandLine::new(b"init=none cpus=2  init=array");
    assert_eq!([line.get("init"), line.get("cpus"), line.get("nonce")], [Some("array"), Some("2"), None]);
}

#[test]
fn a_key_is_no_part_of_another_key() {
    assert_eq!(CommandLine::new(b"nonce=init=none").get("init"), None);
}

#[test]
fn a_line_that_the_kernel_does_not_understand_is_refused() {
    let too_long = [b' '; 2049];
    let lines: [(&[u8], &str); 4] = [
        (b"init=full red=panic", "red=panic: no such option"),
        (b"quiet", "quiet: no such option"),
        (b"nonce=\xff", "expected ascii"),
        (&too_long, "expected at most 2048 bytes"),
    ];
    for (line, words) in lines {
        expect_panic(words, || _ = CommandLine::new(line));
    }
}

#[test]
fn memory_is_set_up_completely_by_default() {
    assert_eq!([Stage::parse(None), Stage::parse(Some("full"))], [Stage::Full, Stage::Full]);
    assert!(Stage::parse(Some("none")) < Stage::parse(Some("array")));
}

#[test]
fn one_cpu_runs_by_default() {
    assert_eq!([parse_cpus(None), parse_cpus(Some("8"))], [1, 8]);
}

#[test]
fn a_panic_is_survived_where_that_is_asked_for() {
    assert_eq!([None, Some("halt"), Some("recover")].map(parse_on_panic), [false, false, true]);
}

#[test]
fn a_value_that_means_nothing_is_refused() {
    assert_eq!(parse_hex("ramtop", "0x10"), 16);
    expect_panic("init: expected none, array or full, got half", || _ = Stage::parse(Some("half")));
    expect_panic("cpus: expected 1 to 8, got 9", || _ = parse_cpus(Some("9")));
    expect_panic("onpanic: expected halt or recover, got recovr", || _ = parse_on_panic(Some("recovr")));
    expect_panic("ramtop: expected a hexadecimal number, got 1g", || _ = parse_hex("ramtop", "1g"));
}
