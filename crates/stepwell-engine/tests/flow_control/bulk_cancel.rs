//! Bulk cancellations: portion by portion, across restarts, and what comes meanwhile.

use crate::rig::{Answer, Rig};
use serde_json::json;
use stepwell_engine::{Answer as EngineAnswer, BulkCancelError, Cause, RunStatus};
use stepwell_protocol::BulkCancelId;

fn rig_with_runs(runs: usize) -> Rig {
    let mut rig = Rig::of(json!({}));
    for n in 0..runs {
        rig.send("x", json!({"n": n}));
        rig.pass(10);
    }
    rig
}

/// The runs that this bulk cancellation ended.
fn ended_by(rig: &Rig, id: BulkCancelId) -> Vec<usize> {
    let by = (RunStatus::Cancelled, Some(Cause::Bulk { cancellation: id }));
    let ends = rig.ends().into_iter().enumerate();
    ends.filter(|(_, end)| end.is_some_and(|(_, status, cause)| (status, cause) == by))
        .map(|(run, _)| run)
        .collect()
}

#[test]
fn runs_end_portion_by_portion() {
    let mut rig = rig_with_runs(3);
    let id = rig.bulk_cancel(0, None);
    assert!(ended_by(&rig, id).is_empty(), "nobody has looked yet");
    let first = rig.sweeps.pop().expect("it asks");
    assert_eq!(first.row.after, None);
    rig.swept(&first, &[0, 1], Some(1));
    assert_eq!(ended_by(&rig, id), [0, 1]);
    let second = rig.sweeps.pop().expect("it asks on");
    assert_eq!(second.row.after, Some(rig.run_id(1)));
    rig.swept(&first, &[2], None);
    assert_eq!(ended_by(&rig, id), [0, 1], "that was answered before");
    rig.swept(&second, &[2], None);
    assert_eq!(ended_by(&rig, id), [0, 1, 2]);
    assert!(rig.sweeps.is_empty(), "there is no more to ask");
}

#[test]
fn a_restart_goes_on_where_it_was() {
    let mut rig = rig_with_runs(3);
    let id = rig.bulk_cancel(0, None);
    let first = rig.sweeps.pop().expect("it asks");
    rig.swept(&first, &[0], Some(1));
    let lost = rig.sweeps.pop().expect("it asks on");
    rig.restart(1_000);
    rig.swept(&lost, &[2], None);
    assert_eq!(ended_by(&rig, id), [0], "that engine is no more");
    let again = rig.sweeps.pop().expect("it asks again");
    assert_eq!(again.row.after, Some(rig.run_id(1)));
    rig.swept(&again, &[2], None);
    assert_eq!(ended_by(&rig, id), [0, 2]);
    rig.restart(1_000);
    assert!(rig.sweeps.is_empty(), "it was done");
}

#[test]
fn only_runs_within_the_span_end() {
    let mut rig = rig_with_runs(2);
    let id = rig.bulk_cancel(0, None);
    rig.pass(1);
    rig.send("x", json!({}));
    let sweep = rig.sweeps.pop().expect("it asks");
    // Whatever the answer says.
    rig.swept(&sweep, &[0, 1, 2], None);
    assert_eq!(ended_by(&rig, id), [0, 1]);
}

#[test]
fn a_run_that_comes_within_the_span_is_never_called() {
    let mut rig = rig_with_runs(0);
    let id = rig.bulk_cancel(5_000, None);
    let sweep = rig.sweeps.pop().expect("it asks");
    rig.swept(&sweep, &[], None);
    rig.pass(4_999);
    rig.send("x", json!({}));
    rig.pass(1);
    rig.send("x", json!({}));
    assert_eq!(ended_by(&rig, id), [0]);
    assert_eq!(rig.starts(), [None, Some(5_000)]);
}

#[test]
fn a_run_that_comes_within_the_span_has_its_event_asked() {
    let mut rig = rig_with_runs(0);
    let id = rig.bulk_cancel(5_000, Some("event.data.n == 1"));
    let sweep = rig.sweeps.pop().expect("it asks");
    // One comes while the question is asked, and one when all was done.
    rig.send("x", json!({"n": 1}));
    assert!(rig.sweeps.is_empty(), "one question at a time");
    rig.swept(&sweep, &[], None);
    let again = rig.sweeps.pop().expect("it comes by again");
    rig.restart(1);
    assert_eq!(rig.sweeps.len(), 1, "also after a restart");
    let after_restart = rig.sweeps.pop().expect("it asks");
    assert_eq!(after_restart.row.after, again.row.after);
    rig.swept(&after_restart, &[0], None);
    rig.send("x", json!({"n": 1}));
    let late = rig.sweeps.pop().expect("it comes by once more");
    assert!(late.row.after < Some(rig.run_id(1)));
    rig.swept(&late, &[1], None);
    assert_eq!(ended_by(&rig, id), [0, 1]);
    assert!(rig.sweeps.is_empty());
}

#[test]
fn what_is_dropped_ends_nothing_more() {
    let mut rig = rig_with_runs(2);
    let id = rig.bulk_cancel(5_000, None);
    let sweep = rig.sweeps.pop().expect("it asks");
    rig.drop_bulk_cancel(id);
    assert_eq!(rig.answer, Some(EngineAnswer::BulkCancelDropped(true)));
    rig.swept(&sweep, &[0, 1], None);
    rig.send("x", json!({}));
    assert!(ended_by(&rig, id).is_empty());
    rig.drop_bulk_cancel(id);
    assert_eq!(rig.answer, Some(EngineAnswer::BulkCancelDropped(false)));
    rig.answer(0, Answer::Return);
}

#[test]
fn what_is_done_makes_room_and_what_is_not_does_not() {
    let mut rig = rig_with_runs(0);
    for _ in 0..1_000 {
        rig.bulk_cancel(0, None);
    }
    rig.bulk_cancel(0, None);
    let refused = EngineAnswer::BulkCancelled(Err(BulkCancelError::TooMany));
    assert_eq!(rig.answer, Some(refused));
    let sweep = rig.sweeps.pop().expect("it asks");
    rig.swept(&sweep, &[], None);
    rig.bulk_cancel(0, None);
    assert_eq!(rig.answer, Some(EngineAnswer::BulkCancelled(Ok(()))));
    rig.drop_bulk_cancel(sweep.row.id);
    assert_eq!(rig.answer, Some(EngineAnswer::BulkCancelDropped(false)));
}
