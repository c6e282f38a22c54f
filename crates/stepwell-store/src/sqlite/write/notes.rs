//! What is noted of runs.

use crate::notes::{fits, span_fits};
use crate::sqlite::codec::{Column, Json};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use stepwell_engine::{MetadataRow, UserSpansRow};
use stepwell_protocol::RunId;

/// How much is noted of the runs of one batch: counted with a run's first note, and kept up with the others, so that
/// many notes of a run cost no more than as many of many.
#[derive(Debug, Default)]
pub(super) struct Tallies(HashMap<RunId, Tally>);

#[derive(Debug)]
struct Tally {
    count: usize,
    bytes: usize,
}

impl Tallies {
    /// Nothing when the run is not there. It may still come with the batch, so the next note of it asks again.
    fn of(&mut self, connection: &Connection, run: RunId) -> rusqlite::Result<Option<&mut Tally>> {
        match self.0.entry(run) {
            Entry::Occupied(known) => Ok(Some(known.into_mut())),
            Entry::Vacant(_) if !is_there(connection, run)? => Ok(None),
            Entry::Vacant(place) => {
                let (count, bytes) = connection
                    .prepare_cached(
                        "select count(*), coalesce(sum(octet_length(vals)), 0) from metadata where run_id = ?",
                    )?
                    .query_row(params![Column(run)], |found| Ok((found.get(0)?, found.get(1)?)))?;
                Ok(Some(place.insert(Tally { count, bytes })))
            }
        }
    }
}

pub(super) fn put_metadata(
    connection: &Connection,
    row: &MetadataRow,
    tallies: &mut Tallies,
) -> rusqlite::Result<()> {
    let Some(tally) = tallies.of(connection, row.run)? else {
        return Ok(());
    };
    let (run, target, kind) = (Column(row.run), Json(&row.target), &row.update.kind);
    let old = connection
        .prepare_cached(
            "select vals, octet_length(vals) from metadata where run_id = ? and target = ? and kind = ?",
        )?
        .query_row(params![run, target, kind], |found| {
            let values: Json<Map<String, Value>> = found.get(0)?;
            Ok((values.0, found.get::<_, usize>(1)?))
        })
        .optional()?;
    let (old, others) = match old {
        Some((values, bytes)) => {
            let others = Tally {
                count: tally.count - 1,
                bytes: tally.bytes - bytes,
            };
            (Some(values), others)
        }
        None => (None, Tally { ..*tally }),
    };
    let Some(values) = row.update.clone().apply(old) else {
        connection
            .prepare_cached("delete from metadata where run_id = ? and target = ? and kind = ?")?
            .execute(params![run, target, kind])?;
        *tally = others;
        return Ok(());
    };
    let text = Value::Object(values).to_string();
    if fits(others.count, others.bytes, text.len()) {
        connection
            .prepare_cached("insert or replace into metadata values (?, ?, ?, ?, ?)")?
            .execute(params![run, target, kind, text, Column(row.at)])?;
        *tally = Tally {
            count: others.count + 1,
            bytes: others.bytes + text.len(),
        };
    }
    Ok(())
}

pub(super) fn put_spans(connection: &Connection, row: &UserSpansRow) -> rusqlite::Result<()> {
    if !is_there(connection, row.run)? {
        return Ok(());
    }
    let run = Column(row.run);
    let (mut others, mut bytes) = connection
        .prepare_cached(
            "select count(*), coalesce(sum(octet_length(span)), 0) from user_spans where run_id = ?",
        )?
        .query_row(params![run], |found| Ok((found.get(0)?, found.get(1)?)))?;
    let mut put = connection.prepare_cached("insert or ignore into user_spans values (?, ?, ?)")?;
    for span in &row.spans {
        let size = span.bytes();
        if span_fits(others, bytes, size) && put.execute(params![run, span.id, Json(span)])? > 0 {
            others += 1;
            bytes += size;
        }
    }
    Ok(())
}

fn is_there(connection: &Connection, run: RunId) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("select 1 from runs where id = ?")?
        .exists([Column(run)])
}
