//! Keeping the file in order between commits, without holding them up: folding the log, giving room back.

use rusqlite::Connection;

/// Pages that pieces of upkeep write to the log before they fold it into the file: 2 MiB, a few milliseconds. Left to
/// the commit that comes upon a full log, it would be 16 MiB.
const FOLD_PAGES: u64 = 512;
/// Free pages that stay in the file: 1 MiB of them, or a sixteenth of the file. The next hours' rows take them again.
const RESERVE_PAGES_MIN: u64 = 256;
const RESERVE_PART: u64 = 16;
/// Pages that are given back at once: half a MiB to move, about as much as a slice of pruning writes.
const GIVE_BACK_PAGES: u64 = 128;

/// How much of the log comes from upkeep.
#[derive(Debug, Default)]
pub(super) struct Upkeep {
    pages: u64,
}

impl Upkeep {
    /// Does a piece of upkeep, and folds the log when such pieces have made it long.
    pub(super) fn piece<T>(
        &mut self,
        connection: &mut Connection,
        piece: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let before = unfolded(connection)?;
        let done = piece(connection)?;
        let written = unfolded(connection)?.saturating_sub(before);
        // A commit may have folded the log meanwhile.
        self.pages = self.pages.min(before) + written;
        if self.pages >= FOLD_PAGES {
            self.pages = 0;
            // What cannot be folded now is folded by whoever writes next, who is told why not.
            connection
                .query_row("pragma wal_checkpoint(passive)", [], |_| Ok(()))
                .unwrap_or_default();
        }
        Ok(done)
    }
}

/// Pages in the log that are not in the file yet.
fn unfolded(connection: &Connection) -> rusqlite::Result<u64> {
    let mut ask = connection.prepare_cached("pragma wal_checkpoint(noop)")?;
    ask.query_row([], |row| {
        let (written, folded): (i64, i64) = (row.get(1)?, row.get(2)?);
        Ok(u64::try_from(written - folded).unwrap_or(0))
    })
}

pub(super) fn bytes_used(connection: &Connection) -> rusqlite::Result<u64> {
    let pages = pragma(connection, "page_count")? - pragma(connection, "freelist_count")?;
    Ok(pages * pragma(connection, "page_size")?)
}

/// Whether more is to be given back.
pub(super) fn give_back(connection: &Connection) -> rusqlite::Result<bool> {
    /// The mode in which a file can be made smaller piece by piece. One that was made without it keeps its free pages.
    const INCREMENTAL: u64 = 2;
    if pragma(connection, "auto_vacuum")? != INCREMENTAL {
        return Ok(false);
    }
    let reserve = RESERVE_PAGES_MIN.max(pragma(connection, "page_count")? / RESERVE_PART);
    let surplus = pragma(connection, "freelist_count")?.saturating_sub(reserve);
    if surplus == 0 {
        return Ok(false);
    }
    let pages = surplus.min(GIVE_BACK_PAGES);
    let mut vacuum = connection.prepare(&format!("pragma incremental_vacuum({pages})"))?;
    let mut moved = vacuum.raw_query();
    // A row for each page.
    while moved.next()?.is_some() {}
    Ok(surplus > pages)
}

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<u64> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}
