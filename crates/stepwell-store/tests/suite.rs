//! What every store does: one suite, run on each.

#[path = "suite/batches.rs"]
mod batches;
#[path = "suite/lists.rs"]
mod lists;
#[path = "suite/live.rs"]
mod live;
#[path = "suite/notes.rs"]
mod notes;
#[path = "suite/prune.rs"]
mod prune;
#[path = "suite/records.rs"]
mod records;
#[path = "suite/rows.rs"]
mod rows;

use batches::{
    a_batch_is_all_or_nothing, a_batch_that_failed_may_be_written_again_without_what_failed,
    a_probe_changes_nothing, an_empty_batch_changes_nothing,
    changes_of_a_batch_are_applied_in_order, readers_see_whole_batches_while_they_are_written,
};
use lists::{
    apps_are_listed_by_name, events_are_listed_by_name_and_time,
    outputs_are_left_out_of_lists_or_bounded, runs_are_counted_alike_whatever_the_moment,
    runs_are_listed_by_function_status_and_time, runs_are_listed_by_when_they_started_and_ended,
    the_past_is_read_by_arrival_however_old_the_id_is,
};
use live::{
    bulk_cancellations_are_read_replaced_and_deleted,
    ended_runs_are_not_loaded_but_what_they_still_announce_is, keys_are_remembered_for_a_day,
    queue_items_of_every_kind_are_replaced_and_deleted, throttles_are_replaced_and_deleted,
    what_is_loaded_is_what_was_written,
};
use notes::{
    deep_spans_are_put_beside, notes_find_their_place_in_the_tree, notes_go_with_their_run,
    notes_of_one_batch_are_bounded_as_those_of_many, what_is_noted_is_merged_by_kind_and_target,
    what_is_noted_of_a_run_is_bounded, what_is_noted_of_a_run_that_is_not_there_is_dropped,
};
use prune::{
    a_key_is_remembered_for_a_day_though_its_run_is_gone,
    a_run_larger_than_a_slice_goes_all_the_same, a_walk_does_not_look_back,
    a_walk_ends_where_it_is_told_to, a_walk_in_small_slices_gets_everywhere_once,
    an_ended_run_with_work_left_stays_until_that_is_done,
    an_event_that_started_nothing_goes_by_its_own_age, an_old_run_goes_with_all_that_is_of_it,
    events_that_wait_to_start_a_run_stay, pruning_changes_nothing_that_is_loaded,
    what_is_unfinished_stays_and_its_events,
};
use records::{
    a_run_goes_from_queued_to_ended, an_event_is_written_once, apps_and_functions_are_replaced,
    attempts_come_back_in_order, events_are_read_newest_first,
    steps_come_back_in_order_as_they_were,
};
use rows::{Rows, at};
use std::sync::Arc;
use stepwell_engine::{Change, Snapshot, Timestamp};
use stepwell_store::{Reader, Store, Writer};
use tempfile::TempDir;

/// A store under test.
struct Opened {
    writer: Box<dyn Writer>,
    reader: Arc<dyn Reader>,
    _folder: Option<TempDir>,
}

impl Opened {
    fn new(store: Store, folder: Option<TempDir>) -> Self {
        Self {
            writer: store.writer,
            reader: store.reader,
            _folder: folder,
        }
    }

    fn commit(&mut self, changes: Vec<Change>) {
        self.writer.commit(&changes).expect("the batch is written");
    }

    fn load(&mut self, now: Timestamp) -> Snapshot {
        self.writer.load(now).expect("the live rows are read")
    }

    /// Commits a batch whose last change does not fit, and checks that nothing of it is visible.
    fn refuse(&mut self, changes: Vec<Change>) {
        let before = self.load(at(0));
        let events = self.event_names();
        self.writer
            .commit(&changes)
            .expect_err("the batch does not fit");
        assert_eq!(self.load(at(0)), before);
        assert_eq!(self.event_names(), events);
    }

    fn event_names(&self) -> Vec<String> {
        let events = self.reader.events(None, None, 1_000);
        let events = events.expect("events are read").into_iter();
        events.map(|event| event.name).collect()
    }
}

macro_rules! suite {
    ($($name:ident)*) => {
        mod in_memory {
            $(#[test] fn $name() { super::$name(super::Opened::new(stepwell_store::memory::open(), None)); })*
        }
        mod in_sqlite {
            $(#[test] fn $name() {
                let folder = tempfile::tempdir().expect("a folder");
                let store = stepwell_store::sqlite::open(&stepwell_store::sqlite::Options::new(folder.path().join("stepwell.db")));
                super::$name(super::Opened::new(store.expect("the store opens"), Some(folder)));
            })*
        }
    };
}

suite! {
    an_empty_store_is_empty
    apps_and_functions_are_replaced
    an_event_is_written_once
    events_are_read_newest_first
    a_run_goes_from_queued_to_ended
    steps_come_back_in_order_as_they_were
    attempts_come_back_in_order
    queue_items_of_every_kind_are_replaced_and_deleted
    throttles_are_replaced_and_deleted
    bulk_cancellations_are_read_replaced_and_deleted
    what_is_loaded_is_what_was_written
    ended_runs_are_not_loaded_but_what_they_still_announce_is
    keys_are_remembered_for_a_day
    a_batch_is_all_or_nothing
    a_batch_that_failed_may_be_written_again_without_what_failed
    changes_of_a_batch_are_applied_in_order
    an_empty_batch_changes_nothing
    a_probe_changes_nothing
    readers_see_whole_batches_while_they_are_written
    an_old_run_goes_with_all_that_is_of_it
    an_event_that_started_nothing_goes_by_its_own_age
    what_is_unfinished_stays_and_its_events
    an_ended_run_with_work_left_stays_until_that_is_done
    a_key_is_remembered_for_a_day_though_its_run_is_gone
    pruning_changes_nothing_that_is_loaded
    a_walk_in_small_slices_gets_everywhere_once
    a_walk_does_not_look_back
    a_walk_ends_where_it_is_told_to
    events_that_wait_to_start_a_run_stay
    a_run_larger_than_a_slice_goes_all_the_same
    runs_are_listed_by_function_status_and_time
    runs_are_listed_by_when_they_started_and_ended
    outputs_are_left_out_of_lists_or_bounded
    runs_are_counted_alike_whatever_the_moment
    events_are_listed_by_name_and_time
    the_past_is_read_by_arrival_however_old_the_id_is
    apps_are_listed_by_name
    what_is_noted_is_merged_by_kind_and_target
    what_is_noted_of_a_run_that_is_not_there_is_dropped
    what_is_noted_of_a_run_is_bounded
    notes_of_one_batch_are_bounded_as_those_of_many
    notes_find_their_place_in_the_tree
    deep_spans_are_put_beside
    notes_go_with_their_run
}

fn an_empty_store_is_empty(mut store: Opened) {
    let mut rows = Rows::new();
    assert_eq!(store.load(at(0)), Snapshot::default());
    let event = rows.event("x/y");
    let run = rows.run(&event).id;
    let reader = &store.reader;
    assert!(reader.run(run).unwrap().is_none());
    assert!(reader.run_state(run).unwrap().is_none());
    assert!(reader.event(event.id).unwrap().is_none());
    assert!(reader.runs_of_event(event.id).unwrap().is_empty());
    assert!(reader.events(None, None, 10).unwrap().is_empty());
    assert!(reader.steps(run).unwrap().is_empty());
    assert!(reader.attempts(run).unwrap().is_empty());
    assert!(reader.functions().unwrap().is_empty());
}
