//! Keeps replays out of the logs: while recorded steps are replayed, a function's `tracing` events go nowhere.

use std::sync::OnceLock;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Dispatch, Event, Metadata, Subscriber, dispatcher};

/// Runs `work` with a subscriber that takes nothing.
pub(crate) fn silently<T>(work: impl FnOnce() -> T) -> T {
    // A `Dispatch` of our own, not `Dispatch::none()`: that one would switch off for good each call site which
    // is first reached under it.
    static SILENT: OnceLock<Dispatch> = OnceLock::new();
    dispatcher::with_default(SILENT.get_or_init(|| Dispatch::new(Silent)), work)
}

struct Silent;

impl Subscriber for Silent {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::OFF)
    }

    fn enabled(&self, _: &Metadata<'_>) -> bool {
        false
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
