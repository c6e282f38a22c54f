//! Lists. What is kept is bounded, so they are made of all there is.

use super::{Run, Tables};
use crate::list::{DEFERRED, RunKey};
use crate::prune::first_id;
use crate::{
    AppRecord, EventFilter, EventPage, EventQuery, EventRecord, RunFilter, RunPage, RunPlace,
    RunQuery,
};
use stepwell_engine::AppRow;
use stepwell_protocol::EventId;

impl Tables {
    pub(super) fn find_runs(&self, query: &RunQuery) -> RunPage {
        let mut places: Vec<(RunPlace, &Run)> = self
            .runs
            .values()
            .filter_map(|run| Some((key(run).place(query.order)?, run)))
            .collect();
        places.sort_by_key(|(place, _)| *place);
        if !query.oldest_first {
            places.reverse();
        }
        let is_after = |place: RunPlace| match (query.after, query.oldest_first) {
            (None, _) => true,
            (Some(after), true) => place > after,
            (Some(after), false) => place < after,
        };
        let mut page = RunPage {
            runs: Vec::new(),
            next: None,
        };
        let (mut bytes, mut last) = (0, None);
        let listed = places.into_iter().filter(|(place, _)| is_after(*place));
        for (rows, (place, run)) in listed.enumerate() {
            if rows >= query.rows_max {
                page.next = last;
                break;
            }
            if self.is_wanted(run, &query.filter) {
                let mut record = Self::record(run);
                match query.output_bytes_max {
                    None => record.output = None,
                    Some(_) => bytes += record.output.as_ref().map_or(0, |out| out.get().len()),
                }
                let over = query.output_bytes_max.is_some_and(|most| bytes > most);
                if page.runs.len() >= query.limit || (over && !page.runs.is_empty()) {
                    page.next = last;
                    break;
                }
                page.runs.push(record);
            }
            last = Some(place);
        }
        page
    }

    pub(super) fn count_runs(&self, filter: &RunFilter, rows_max: usize) -> usize {
        let order = filter.walked_by();
        let within = self.runs.values().filter(|run| filter.in_time(&key(run)));
        let mut places: Vec<(RunPlace, &Run)> = within
            .filter_map(|run| Some((key(run).place(order)?, run)))
            .collect();
        places.sort_by_key(|(place, _)| std::cmp::Reverse(*place));
        let newest = places.into_iter().take(rows_max);
        newest
            .filter(|(_, run)| self.is_wanted(run, filter))
            .count()
    }

    fn is_wanted(&self, run: &Run, filter: &RunFilter) -> bool {
        filter.admits(&key(run))
            && filter.deferred.is_none_or(|wanted| {
                let event = run.row.events.first().and_then(|id| self.events.get(id));
                event.is_some_and(|event| event.name == DEFERRED) == wanted
            })
    }

    pub(super) fn find_events(&self, query: &EventQuery) -> EventPage {
        let mut page = EventPage {
            events: Vec::new(),
            next: None,
        };
        let (mut bytes, mut last) = (0, None);
        let within = self.events_within(&query.filter).filter(|event| {
            let after = query.after;
            after.is_none_or(|after| event.id < after)
        });
        for (rows, event) in within.enumerate() {
            if rows >= query.rows_max {
                page.next = last;
                break;
            }
            if query.filter.admits(&event.name) {
                bytes += event.body.get().len();
                let over = bytes > query.bytes_max && !page.events.is_empty();
                if page.events.len() >= query.limit || over {
                    page.next = last;
                    break;
                }
                page.events.push(event.clone());
            }
            last = Some(event.id);
        }
        page
    }

    pub(super) fn count_events(&self, filter: &EventFilter, rows_max: usize) -> usize {
        let within = self.events_within(filter).take(rows_max);
        within.filter(|event| filter.admits(&event.name)).count()
    }

    /// The events of the filter's time, newest first.
    fn events_within(&self, filter: &EventFilter) -> impl Iterator<Item = &EventRecord> {
        let place = |id: EventId| u128::from_be_bytes(id.to_bytes());
        let from = filter.from.map_or(0, first_id);
        let until = filter.until.map_or(u128::MAX, first_id);
        let newest = self.events.values().rev();
        newest.filter(move |event| (from..until).contains(&place(event.id)))
    }

    pub(super) fn app_record(row: &AppRow) -> AppRecord {
        AppRecord {
            id: row.id,
            name: row.name.clone(),
            url: row.url.clone(),
            sdk: row.sdk.clone(),
            framework: row.framework.clone(),
            checksum: row.checksum.clone(),
            synced_at: row.synced_at,
        }
    }
}

fn key(run: &Run) -> RunKey {
    let end = run.end.as_ref();
    RunKey {
        id: run.row.id,
        function: run.row.function,
        status: end.map_or(run.row.progress.status, |end| end.status),
        started_at: run.row.progress.started_at,
        ended_at: end.map(|end| end.ended_at),
    }
}
