//! Connect: workers that call out, and what the gateway makes of good, bad, slow and lost ones.

mod calls;
mod handshakes;
mod losses;

use crate::server::Setup;
use std::time::Duration;
use stepwell_server::{ConnectOptions, ConnectTimes};

/// A span that a test is not meant to see the end of.
const LONG: Duration = Duration::from_secs(600);
/// One that it is.
const SHORT: Duration = Duration::from_millis(100);

/// A server whose gateway waits for nothing that a test does not make happen.
fn patient() -> Setup {
    with_times(ConnectTimes {
        hello: LONG,
        heartbeat: LONG,
        extend: LONG,
        lease: LONG,
        lease_grace: Duration::ZERO,
        reconnect: LONG,
        take: LONG,
        take_draining: LONG,
        absence: LONG,
        opening: LONG,
        room: LONG,
        write: LONG,
    })
}

fn with_times(times: ConnectTimes) -> Setup {
    Setup {
        connect: ConnectOptions {
            times,
            ..ConnectOptions::default()
        },
        ..Setup::default()
    }
}

/// The same with other times.
fn timed(change: impl FnOnce(&mut ConnectTimes)) -> Setup {
    let mut setup = patient();
    change(&mut setup.connect.times);
    setup
}
