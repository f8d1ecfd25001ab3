//! Tests of the steps of programs as a request names them.

use crate::step::{Op, Step};

#[test]
fn parts_of_a_step_may_be_left_out() {
    assert_eq!(Step::parse("inc").ok(), Some(Step { op: Op::Inc, ..Step::NOTHING }));
    let all = Step { op: Op::Cas, frame: 15, value: 0x1_0000_0002, delay: 9 };
    assert_eq!(Step::parse("cas@15=0x100000002~9").ok(), Some(all));
}

#[test]
fn a_step_without_an_operation_of_that_name_is_refused() {
    for word in ["", "incr", "inc@16", "inc@x", "set=-1", "inc~4294967296"] {
        assert!(Step::parse(word).is_err(), "{word}");
    }
}

#[test]
fn operations_have_distinct_names() {
    for op in Op::ALL {
        assert_eq!(Op::ALL.iter().filter(|other| other.name() == op.name()).count(), 1, "{}", op.name());
    }
}
