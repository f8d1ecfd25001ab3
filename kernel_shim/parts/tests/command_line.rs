//! Tests of the kernel command line.

use crate::command_line::{parse_cpus, parse_hex, CommandLine, Stage};

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
#[should_panic(expected = "red=panic: no such option")]
fn a_word_that_the_kernel_does_not_know_is_refused() {
    CommandLine::new(b"init=full red=panic");
}

#[test]
#[should_panic(expected = "quiet: no such option")]
fn a_word_without_a_value_is_refused() {
    CommandLine::new(b"quiet");
}

#[test]
#[should_panic(expected = "expected ascii")]
fn a_line_that_is_not_ascii_is_refused() {
    CommandLine::new(b"nonce=\xff");
}

#[test]
#[should_panic(expected = "expected at most 2048 bytes")]
fn a_line_that_is_too_long_is_refused() {
    CommandLine::new(&[b' '; 2049]);
}

#[test]
fn memory_is_set_up_completely_by_default() {
    assert_eq!([Stage::parse(None), Stage::parse(Some("full"))], [Stage::Full, Stage::Full]);
    assert!(Stage::parse(Some("none")) < Stage::parse(Some("array")));
}

#[test]
#[should_panic(expected = "init: expected none, array or full, got half")]
fn an_unknown_stage_is_refused() {
    Stage::parse(Some("half"));
}

#[test]
fn one_cpu_runs_by_default() {
    assert_eq!([parse_cpus(None), parse_cpus(Some("8"))], [1, 8]);
}

#[test]
#[should_panic(expected = "cpus: expected 1 to 8, got 9")]
fn more_cpus_than_the_tables_have_room_for_are_refused() {
    parse_cpus(Some("9"));
}

#[test]
#[should_panic(expected = "ramtop: expected a hexadecimal number, got 1g")]
fn a_malformed_address_is_refused() {
    assert_eq!(parse_hex("ramtop", "0x10"), 16);
    parse_hex("ramtop", "1g");
}
