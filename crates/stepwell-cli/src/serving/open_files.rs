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
    let room = files
        .saturating_sub(reserve)
        .max(files / 4)
        .max(CONNECTIONS_MIN);
    if room < wanted as u64 {
        tracing::warn!(
            files,
            connections = room,
            "the system allows few open files, so fewer connections than --max-connections; raise it with ulimit -n"
        );
    }
    usize::try_from(room).unwrap_or(wanted).min(wanted)
}

/// As many as are wanted: there is no such limit here.
#[cfg(not(unix))]
pub(super) fn room_for_connections(wanted: usize, _workers: usize) -> usize {
    wanted
}
