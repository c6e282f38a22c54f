//! What the engine says of how much there is, is how much there is.

use stepwell_engine::{Census, Engine};

pub(super) fn check(engine: &Engine) -> Result<(), String> {
    let (told, counted) = (sorted(engine.census()), sorted(engine.recount()));
    if told == counted {
        return Ok(());
    }
    Err(format!("it says {told:?}, and there are {counted:?}"))
}

/// Backlogs come in no order.
fn sorted(mut census: Census) -> Census {
    census
        .backlogs
        .sort_unstable_by_key(|backlog| (backlog.slug.to_string(), backlog.oldest, backlog.items));
    census
}
