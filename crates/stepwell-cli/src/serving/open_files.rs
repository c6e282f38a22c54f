//! How many files the system lets the server have open, which bounds its connections.

/// Files that a server needs beside the connections of its clients: the database, and calls to apps.
#[cfg(unix)]
const RESERVE: u64 = 1_280;
/// With fewer nothing works.
#[cfg(unix)]
const CONNECTIONS_MIN: u64 = 16;

/// Takes as many files as the system gives; returns how many connections there may be, at most `wanted`, beside those of
/// workers.
#[cfg(unix)]
pub(super) fn room_for_connections(wanted: usize, workers: usize) -> usize {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return wanted;
    };
    let reserve = RESERVE + workers as u64;
    // More than this is not needed, and systems without a hard limit refuse to be asked for it.
    let asked = hard.min((wanted as u64).saturating_add(reserve));
    let files = if asked > soft && setrlimit(Resource::RLIMIT_NOFILE, asked, hard).is_ok() {
        asked
    } else {
        soft
    };
    let room = room_among(files, reserve);
    if room < wanted as u64 {
        tracing::warn!(
            files,
            connections = room,
            "the system allows few open files, so fewer connections than --max-connections; raise it with ulimit -n"
        );
    }
    usize::try_from(room).unwrap_or(wanted).min(wanted)
}

/// How many of these files may be connections; with few files a quarter, so that the rest still does for what the server
/// cannot do without.
#[cfg(unix)]
fn room_among(files: u64, reserve: u64) -> u64 {
    files
        .saturating_sub(reserve)
        .max(files / 4)
        .max(CONNECTIONS_MIN)
}

/// As many as are wanted: there is no such limit here.
#[cfg(not(unix))]
pub(super) fn room_for_connections(wanted: usize, _workers: usize) -> usize {
    wanted
}

#[cfg(all(test, unix))]
mod tests {
    use super::{CONNECTIONS_MIN, RESERVE, room_among, room_for_connections};

    #[test]
    fn the_database_calls_and_workers_have_files_that_no_connection_takes() {
        for (files, workers, expected) in [
            (65_536, 0, 65_536 - RESERVE),
            (65_536, 1_000, 65_536 - RESERVE - 1_000),
            // A usual limit is less than the reserve.
            (1_024, 1_000, 256),
            (RESERVE + 400, 0, 420),
            (40, 0, CONNECTIONS_MIN),
        ] {
            let room = room_among(files, RESERVE + workers);
            assert_eq!(room, expected, "{files} files, {workers} workers");
        }
    }

    #[test]
    fn there_are_never_more_connections_than_wanted_nor_more_than_files() {
        use nix::sys::resource::{Resource, getrlimit};
        assert_eq!(room_for_connections(20, 0), 20);
        let room = room_for_connections(usize::MAX, 100) as u64;
        let (files, _) = getrlimit(Resource::RLIMIT_NOFILE).expect("it says");
        assert_eq!(room, room_among(files, RESERVE + 100));
        assert!(room < files);
    }
}
