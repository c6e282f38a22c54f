//! Attempts that failed or were cut short, and to what they led.

use crate::AttemptRecord;
use std::collections::HashMap;
use stepwell_engine::{ItemId, ItemRow, Timestamp};
use stepwell_protocol::StepId;

/// Attempts of one queue item in a row, up to the one that went well, the last one, or the one to come.
#[derive(Debug)]
pub(super) struct Series<'a> {
    pub(super) item: ItemId,
    /// Which of the item's series.
    pub(super) number: usize,
    /// With their positions among all attempts of the run. Never empty.
    pub(super) attempts: Vec<(usize, &'a AttemptRecord)>,
}

impl<'a> Series<'a> {
    pub(super) fn last(&self) -> &'a AttemptRecord {
        let (_, last) = self.attempts.last().expect("a series is never empty");
        last
    }

    fn was_cut_short(&self) -> bool {
        self.last().error.is_none()
    }
}

/// All series of a run that have not found their place in its tree yet, oldest first.
#[derive(Debug)]
pub(super) struct Failures<'a> {
    series: Vec<Series<'a>>,
    /// How many series each item has had.
    counts: HashMap<ItemId, usize>,
}

impl<'a> Failures<'a> {
    pub(super) fn new(attempts: &'a [AttemptRecord]) -> Self {
        let mut series: Vec<Series<'a>> = Vec::new();
        let mut counts: HashMap<ItemId, usize> = HashMap::new();
        for (index, attempt) in attempts.iter().enumerate() {
            let open = series
                .iter_mut()
                .rev()
                .find(|series| series.item == attempt.item);
            match open {
                // An item counts from 0 again after each step that its call has recorded.
                Some(series) if attempt.attempt > series.last().attempt => {
                    series.attempts.push((index, attempt));
                }
                _ => {
                    let count = counts.entry(attempt.item).or_default();
                    series.push(Series {
                        item: attempt.item,
                        number: *count,
                        attempts: vec![(index, attempt)],
                    });
                    *count += 1;
                }
            }
        }
        Self { series, counts }
    }

    /// How many series an item has had.
    pub(super) fn count(&self, item: ItemId) -> usize {
        self.counts.get(&item).copied().unwrap_or(0)
    }

    /// What failed before the attempt that a queued item is at.
    pub(super) fn take_open(&mut self, item: &ItemRow) -> Option<Series<'a>> {
        self.take_last(|series| {
            series.item == item.id
                && series.last().retry_at.is_some()
                && series.last().attempt + 1 == item.attempt
        })
    }

    /// What failed of an item before it did well for this step, by this moment at the latest.
    pub(super) fn take_before(
        &mut self,
        item: ItemId,
        step: &StepId,
        moment: Timestamp,
    ) -> Option<Series<'a>> {
        self.take_last(|series| {
            let last = series.last();
            // What failed for good led to nothing but its own step's end.
            let goes_on = last.retry_at.is_some() || last.step.as_ref() == Some(step);
            series.item == item && last.ended_at <= moment && goes_on
        })
    }

    /// What failed of an item last.
    pub(super) fn take_last_of(&mut self, item: ItemId) -> Option<Series<'a>> {
        self.take_last(|series| series.item == item)
    }

    /// What failed last and was not cut short.
    pub(super) fn take_last_failed(&mut self) -> Option<Series<'a>> {
        self.take_last(|series| !series.was_cut_short())
    }

    /// What failed of a step, by this moment at the latest.
    pub(super) fn take_of(&mut self, step: &StepId, moment: Timestamp) -> Vec<Series<'a>> {
        let of_it = |series: &mut Series<'a>| {
            series.last().step.as_ref() == Some(step) && series.last().ended_at <= moment
        };
        self.series.extract_if(.., of_it).collect()
    }

    /// What has no other place.
    pub(super) fn take_rest(&mut self) -> Vec<Series<'a>> {
        std::mem::take(&mut self.series)
    }

    fn take_last(&mut self, wanted: impl Fn(&Series<'a>) -> bool) -> Option<Series<'a>> {
        let at = self.series.iter().rposition(wanted)?;
        Some(self.series.remove(at))
    }
}
