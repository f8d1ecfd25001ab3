"""Proves which two ends of a guest count as the same one."""

from __future__ import annotations

from frame_harness.judge.ways import way, words_of

PANIC = ("0x10 in nobody's code", "frame::take+0x12 (/k/frame.rs:179)", "main+0x1 (/k/main.rs:3)")


def test_numbers_that_differ_between_guests_are_left_out() -> None:
    one = "it used 20.1 s of CPU time (limit 20 s; 3 CPUs) at 0xffffffff80101234, 1,024 times"
    other = "it used 21 s of CPU time (limit 40 s; 3 CPUs) at 0xffffffff80105678, 7 times"
    assert words_of(one) == words_of(other)


def test_lines_and_names_with_digits_are_kept() -> None:
    assert words_of("at /k/frame.rs:179 in u64_of") == "at /k/frame.rs:179 in u64_of"
    assert words_of("at /k/frame.rs:179") != words_of("at /k/frame.rs:180")


def test_the_innermost_place_of_a_backtrace_is_the_way() -> None:
    assert way("panicked", PANIC, hangs=False) == "frame::take (/k/frame.rs:179)"


def test_a_loop_is_the_same_at_each_of_its_lines() -> None:
    assert way("hangs", PANIC, hangs=True) == "frame::take"


def test_code_that_was_put_into_others_is_told_by_its_line_even_in_a_loop() -> None:
    for name in ("core::hint::spin_loop", "frame::take::{closure#0}"):
        assert way("hangs", [f"{name}+0x4 (/k/frame.rs:7)"], hangs=True) == f"{name} (/k/frame.rs:7)"


def test_without_a_place_the_message_is_the_way() -> None:
    assert way("exit status 12", ["0x10"], hangs=False) == way("exit status 13", [], hangs=True)
