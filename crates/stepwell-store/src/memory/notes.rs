//! What is noted of runs.

use crate::MetadataRecord;
use crate::notes::{fits, span_fits};
use std::collections::BTreeMap;
use stepwell_engine::{MetadataRow, UserSpansRow};
use stepwell_protocol::metadata::bytes_of;
use stepwell_protocol::otlp::UserSpan;

pub(super) fn put_metadata(noted: &mut Vec<MetadataRecord>, row: &MetadataRow) {
    let is_it = |one: &MetadataRecord| one.target == row.target && one.kind == row.update.kind;
    let at = noted.iter().position(is_it);
    let old = at.map(|at| noted[at].values.clone());
    let Some(values) = row.update.clone().apply(old) else {
        noted.retain(|one| !is_it(one));
        return;
    };
    let others: Vec<&MetadataRecord> = noted.iter().filter(|one| !is_it(one)).collect();
    let bytes = others.iter().map(|one| bytes_of(&one.values)).sum();
    if !fits(others.len(), bytes, bytes_of(&values)) {
        return;
    }
    noted.retain(|one| !is_it(one));
    noted.push(MetadataRecord {
        target: row.target.clone(),
        kind: row.update.kind.clone(),
        values,
        updated_at: row.at,
    });
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
