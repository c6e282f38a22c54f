//! What is noted of runs.

use crate::notes::{fits, span_fits};
use crate::sqlite::codec::{Column, Json};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Map, Value};
use stepwell_engine::{MetadataRow, UserSpansRow};
use stepwell_protocol::RunId;

pub(super) fn put_metadata(connection: &Connection, row: &MetadataRow) -> rusqlite::Result<()> {
    if !is_there(connection, row.run)? {
        return Ok(());
    }
    let (run, target, kind) = (Column(row.run), Json(&row.target), &row.update.kind);
    let old = connection
        .prepare_cached("select vals from metadata where run_id = ? and target = ? and kind = ?")?
        .query_row(params![run, target, kind], |found| {
            found.get::<_, Json<Map<String, Value>>>(0)
        })
        .optional()?;
    let Some(values) = row.update.clone().apply(old.map(|json| json.0)) else {
        connection
            .prepare_cached("delete from metadata where run_id = ? and target = ? and kind = ?")?
            .execute(params![run, target, kind])?;
        return Ok(());
    };
    let text = Value::Object(values).to_string();
    let (others, bytes) = connection
        .prepare_cached(
            "select count(*), coalesce(sum(octet_length(vals)), 0) from metadata \
             where run_id = ?1 and not (target = ?2 and kind = ?3)",
        )?
        .query_row(params![run, target, kind], |found| {
            Ok((found.get(0)?, found.get(1)?))
        })?;
    if fits(others, bytes, text.len()) {
        connection
            .prepare_cached("insert or replace into metadata values (?, ?, ?, ?, ?)")?
            .execute(params![run, target, kind, text, Column(row.at)])?;
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
