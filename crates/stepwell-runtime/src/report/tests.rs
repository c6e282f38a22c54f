use super::{noting_little, report_op, report_steps, weight};
use serde_json::json;
use stepwell_engine::ReportedOp;
use stepwell_protocol::op::{Op, Opcode};
use stepwell_protocol::{StepId, limits};

/// A step that notes something of so many kinds.
fn noting(index: usize, kinds: usize, value: &str) -> Op {
    let metadata: Vec<_> = (0..kinds)
        .map(|kind| json!({"kind": format!("k{kind}"), "values": {"a": value}}))
        .collect();
    let mut op = Op::new(Opcode::StepRun, StepId::of("a", index), "a");
    op.metadata = serde_json::from_value(json!(metadata)).expect("metadata");
    op
}

fn noted(steps: &[ReportedOp]) -> Vec<usize> {
    steps.iter().map(|step| step.metadata.len()).collect()
}

#[test]
fn one_op_and_one_report_note_so_much_and_no_more() {
    let most = limits::METADATA_PER_OP_MAX;
    let steps = report_steps(vec![noting(0, most + 1, ""), noting(1, 1, "")]);
    assert_eq!(noted(&steps), [most, 1]);

    let full = limits::METADATA_PER_REPORT_MAX / most;
    let ops = (0..full).map(|index| noting(index, if index == 0 { most - 1 } else { most }, ""));
    let ops = ops.chain([noting(full, 2, ""), noting(full + 1, 1, "")]);
    let steps = report_steps(ops.collect());
    assert_eq!(steps.len(), full + 2, "the steps themselves stay");
    assert_eq!(noted(&steps)[full..], [1, 0]);
    assert_eq!(
        noted(&steps).iter().sum::<usize>(),
        limits::METADATA_PER_REPORT_MAX
    );
    let none = noting_little(std::iter::empty());
    assert!(none.is_empty());
}

#[test]
fn what_a_step_notes_weighs_as_its_value_does() {
    let large = "x".repeat(50_000);
    let plain = weight(&[report_op(noting(0, 0, ""), false, None)]);
    let noting_much = weight(&[report_op(noting(0, 3, &large), false, None)]);
    assert!(noting_much >= plain + 150_000, "{noting_much}");
    let mut with_value = noting(0, 0, "");
    with_value.data = stepwell_protocol::shared_json(format!("\"{large}\"")).ok();
    let with_value = weight(&[report_op(with_value, false, None)]);
    assert!(with_value >= 50_000, "{with_value}");
}
