//! What an app says of its functions.

use stepwell_engine::{Config, Decision, Engine, IdSource, Input, Timestamp};
use stepwell_protocol::register::{Registration, normalize_url};
use stepwell_runtime::check_registration;

const NOW: Timestamp = Timestamp::from_ms(1_767_225_600_000);

/// Functions that are taken in can be loaded again from their rows; a URL's normal form is its own.
///
/// # Panics
/// When it is not so.
pub fn check(data: &[u8]) {
    let registration = match Registration::parse(data) {
        Ok(registration) => registration,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    if let Some(url) = normalize_url(&registration.url) {
        assert_eq!(normalize_url(&url).as_ref(), Some(&url));
    }
    match check_registration(&registration) {
        Ok(sync) => {
            let mut engine = Engine::new(Config::default(), NOW);
            let mut ids = IdSource::from_seed(1);
            engine.handle(
                Input::AppSynced(Box::new(sync)),
                NOW,
                &mut ids,
                &mut Decision::default(),
            );
            let rows = engine.snapshot(NOW);
            let loaded = Engine::load(rows.clone(), Config::default(), NOW)
                .expect("rows of an engine's can be loaded");
            assert_eq!(format!("{:?}", loaded.snapshot(NOW)), format!("{rows:?}"));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
