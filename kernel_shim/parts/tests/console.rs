//! Tests of lines in, lines out, replies.

use crate::command::{failed, refused, Code};
use crate::input::{split_sequence, Line, LineBuffer, MAX_LINE};
use crate::output::{Writer, MAX_TEXT};
use crate::reply::{Answer, Outcome, PanicReport, Reply, MAX_FIELDS};
use crate::text::Text;
use core::fmt;
use std::cell::RefCell;
use std::string::String;
use std::vec::Vec;
use std::{format, thread_local};

thread_local! {
    static SENT: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

fn send(bytes: &[u8]) {
    SENT.with_borrow_mut(|sent| sent.push(bytes.to_vec()));
}

/// What was sent since the last call, a string for each time.
fn sent() -> Vec<String> {
    SENT.take().into_iter().map(|bytes| String::from_utf8(bytes).expect("ASCII")).collect()
}

fn typed(bytes: &[u8]) -> (LineBuffer, String) {
    let (mut buffer, echoed) = (LineBuffer::new(), RefCell::new(Vec::new()));
    for &byte in bytes {
        buffer.take(byte, |bytes| echoed.borrow_mut().extend_from_slice(bytes));
    }
    (buffer, String::from_utf8(echoed.into_inner()).expect("ASCII"))
}

#[test]
fn a_line_of_output_stays_one_line_of_ascii() {
    Writer::<64>::new(send).line(": ", format_args!("a\nb\u{e9}\x1b"));
    assert_eq!(sent().concat(), ": a\\nb\\u{e9}\\u{1b}\n");
}

#[test]
fn a_long_line_is_sent_in_pieces() {
    Writer::<8>::new(send).line("# ", format_args!("0123456789"));
    assert_eq!(sent(), ["# 012345", "6789\n"]);
}

#[test]
fn a_line_that_is_sent_at_once_is_cut_where_it_does_not_fit() {
    Writer::<10>::at_once(send).line("# ", format_args!("0123"));
    Writer::<10>::at_once(send).line("# ", format_args!("012"));
    assert_eq!(sent(), ["# 012 ...\n", "# 012\n"]);
}

/// Prints without an end.
struct Endless;

impl fmt::Display for Endless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        loop {
            f.write_str("x\u{e9}")?;
        }
    }
}

#[test]
fn a_line_without_an_end_is_cut_and_says_so() {
    Writer::<64>::new(send).line("! ", format_args!("{Endless}"));
    let line = sent().concat();
    assert_eq!(line.len(), "! ".len() + MAX_TEXT + " ...\n".len());
    assert!(line.starts_with("! x\\u{e9}x") && line.ends_with(" ...\n"));
}

#[test]
fn a_line_as_long_as_it_may_be_is_whole() {
    Writer::<64>::new(send).line("! ", format_args!("{}", "x".repeat(MAX_TEXT)));
    assert_eq!(sent().concat(), format!("! {}\n", "x".repeat(MAX_TEXT)));
}

#[test]
fn a_panic_message_without_an_end_is_kept_as_far_as_it_fits() {
    let message: Text<8> = Text::from_args(format_args!("{Endless}"));
    assert_eq!((message.as_str(), message.overflowed()), ("x\u{e9}x\u{e9}x", true));
}

#[test]
fn a_program_s_line_is_not_echoed() {
    let (buffer, echoed) = typed(b"1 help\n");
    assert_eq!((buffer.line(), echoed.as_str()), (Line::Request("1 help"), ""));
}

#[test]
fn a_person_s_line_is_echoed_and_can_be_corrected() {
    let (buffer, echoed) = typed(b"hek\x7flp\n");
    assert_eq!((buffer.line(), echoed.as_str()), (Line::Request("help"), "hek\x08 \x08lp\n"));
}

#[test]
fn empty_lines_are_no_requests() {
    let mut buffer = LineBuffer::new();
    assert!(!buffer.take(b'\n', |_| {}) && !buffer.take(b'\r', |_| {}));
}

#[test]
fn a_line_with_other_bytes_is_binary() {
    assert_eq!(typed(b"7 a\xffb\n").0.line(), Line::Binary("7 a"));
}

#[test]
fn a_line_is_too_long_by_one_byte() {
    let mut bytes = Vec::from([b'1'; MAX_LINE]);
    assert!(matches!(typed(&bytes).0.line(), Line::Request(_)));
    bytes.push(b'1');
    assert!(matches!(typed(&bytes).0.line(), Line::TooLong(text) if text.len() == MAX_LINE));
}

#[test]
fn a_request_without_a_number_gets_0() {
    assert_eq!(split_sequence("12 dump 0 1"), (12, "dump 0 1"));
    assert_eq!(split_sequence(" dump 0 1"), (0, "dump 0 1"));
}

fn reply() -> Reply {
    Reply::new(|text| send(format!("{text}").as_bytes()))
}

fn answer(outcome: &Outcome, reply: &Reply) -> String {
    format!("{}", Answer { outcome, reply })
}

#[test]
fn fields_come_in_the_order_in_which_they_were_added() {
    let mut reply = reply();
    reply.field("n", 1);
    reply.hex("paddr", 0x1000);
    reply.flag("v", true);
    reply.bytes("bytes", &[0xa5]);
    assert_eq!(answer(&Outcome::Returned(Ok(())), &reply), "ok n=1 paddr=0x1000 v=1 bytes=a5");
    assert_eq!(answer(&Outcome::Returned(Err(failed("Err"))), &reply), "fail Err n=1 paddr=0x1000 v=1 bytes=a5");
}

#[test]
fn what_a_foreign_type_shows_is_one_word_of_bounded_length() {
    #[derive(Debug)]
    #[expect(dead_code, reason = "shown alone")]
    struct Shared {
        count: u8,
    }
    let mut reply = reply();
    reply.debug("state", &Shared { count: 2 });
    reply.debug("long", &"x".repeat(100));
    let expected = format!("ok state=Shared%20{{%20count:%202%20}} long=\"{}", "x".repeat(63));
    assert_eq!(answer(&Outcome::Returned(Ok(())), &reply), expected);
}

#[test]
fn data_goes_out_before_the_reply() {
    reply().data(format_args!("0 {}", 1));
    assert_eq!(sent(), ["0 1"]);
}

#[test]
fn a_refusal_has_no_fields() {
    let mut reply = reply();
    reply.field("n", 1);
    let outcome = Outcome::Returned(Err(refused(Code::Range, format_args!("no slot"))));
    assert_eq!(answer(&outcome, &reply), "err range no slot");
    assert!(outcome.stops());
}

#[test]
fn a_panic_s_message_that_was_cut_says_so() {
    let cut = PanicReport { file: Text::new(), line: 7, message: Text::from_args(format_args!("{Endless}")) };
    assert!(answer(&Outcome::Panicked(cut), &reply()).ends_with("x%20..."));
}

#[test]
fn too_many_fields_are_an_error_and_never_a_part_of_them() {
    let mut reply = reply();
    reply.bytes("bytes", &[0; MAX_FIELDS / 2]);
    assert_eq!(answer(&Outcome::Returned(Ok(())), &reply), "err toolong reply: expected at most 4096 bytes");
}

#[test]
fn a_panic_is_one_line_whatever_its_message() {
    let (file, message) = (format_args!("my frame.rs"), format_args!("a\nb"));
    let panic = PanicReport { file: Text::from_args(file), line: 7, message: Text::from_args(message) };
    let outcome = Outcome::Panicked(panic);
    assert_eq!(answer(&outcome, &reply()), "panic file=my%20frame.rs line=7 msg=a%0ab");
    assert!(outcome.stops());
}
