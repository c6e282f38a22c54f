//! What is noted of runs.

use crate::MetadataRecord;
use crate::notes::{fits, span_fits};
use std::collections::BTreeMap;
use stepwell_engine::{MetadataRow, UserSpansRow};
use stepwell_protocol::metadata::bytes_of;
use stepwell_protocol::otlp::UserSpan;

/// All metadata of one run.
#[derive(Debug, Default)]
pub(super) struct Noted {
    records: Vec<MetadataRecord>,
    /// Of their values.
    bytes: usize,
}

impl Noted {
    pub(super) fn records(&self) -> &[MetadataRecord] {
        &self.records
    }

    pub(super) fn put(&mut self, row: &MetadataRow) {
        let is_it = |one: &MetadataRecord| one.target == row.target && one.kind == row.update.kind;
        let at = self.records.iter().position(is_it);
        let old = at.map(|at| self.records[at].values.clone());
        let others = self.records.len() - usize::from(old.is_some());
        let others_bytes = self.bytes - old.as_ref().map_or(0, bytes_of);
        let noted = row.update.clone().apply(old);
        let bytes = noted.as_ref().map_or(0, bytes_of);
        if noted.is_some() && !fits(others, others_bytes, bytes) {
            return;
        }
        if let Some(at) = at {
            self.records.remove(at);
        }
        self.bytes = others_bytes + bytes;
        self.records.extend(noted.map(|values| MetadataRecord {
            target: row.target.clone(),
            kind: row.update.kind.clone(),
            values,
            updated_at: row.at,
        }));
    }
}

pub(super) fn put_spans(known: &mut BTreeMap<String, UserSpan>, row: &UserSpansRow) {
    let mut bytes: usize = known.values().map(UserSpan::bytes).sum();
    for span in &row.spans {
        let size = span.bytes();
        if !known.contains_key(&span.id) && span_fits(known.len(), bytes, size) {
            known.insert(span.id.clone(), span.clone());
            bytes += size;
        }
    }
}
