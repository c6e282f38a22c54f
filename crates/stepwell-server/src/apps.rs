//! What is known of apps beside what they registered: where they are, and what went wrong.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use stepwell_protocol::register::normalize_url;

/// Apps beyond these are served, and not listed.
const APPS_MAX: usize = 1_000;
/// Characters of an error that are kept.
const ERROR_CHARS_MAX: usize = 2_000;

/// What is known of an app at a URL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KnownApp {
    /// The name under which it registered, if it did.
    pub name: Option<String>,
    /// Its SDK, e.g. `js:v4.1.2`.
    pub sdk: String,
    /// How many functions it registered.
    pub functions: usize,
    /// Why it is not registered, or is not any more where it was.
    pub error: Option<String>,
    /// Whether someone has removed it. It is not asked until it registers by itself.
    pub(crate) removed: bool,
    /// Whether this server refused it since it was last asked: the error says why, which the app's own answer need not.
    pub(crate) refused: bool,
    /// Whether it has registered since it was last asked.
    pub(crate) answered: bool,
}

/// The apps of a server, by URL; cheap to clone. Nothing of it is kept when the server ends.
#[derive(Debug, Clone, Default)]
pub struct Apps(Arc<Mutex<BTreeMap<String, KnownApp>>>);

impl Apps {
    /// All apps, by URL.
    #[must_use]
    pub fn list(&self) -> Vec<(String, KnownApp)> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .iter()
            .filter(|(_, app)| !app.removed)
            .map(|(url, app)| (url.clone(), app.clone()))
            .collect()
    }

    /// Whether any app has registered.
    #[must_use]
    pub fn any_registered(&self) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.values().any(|app| app.name.is_some())
    }

    /// What is known of the app at a URL.
    pub(crate) fn get(&self, url: &str) -> KnownApp {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&key(url)).cloned().unwrap_or_default()
    }

    /// An app has registered.
    pub(crate) fn registered(&self, url: &str, name: &str, sdk: &str, functions: usize) {
        self.change(url, |app| {
            app.name = Some(name.to_owned());
            sdk.clone_into(&mut app.sdk);
            app.functions = functions;
            app.error = None;
            app.removed = false;
            app.answered = true;
        });
    }

    /// Whether anything is known of a URL.
    pub(crate) fn knows(&self, url: &str) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.contains_key(&key(url))
    }

    /// Forgets a URL where no app is: one that was refused is there, and may be mended.
    pub(crate) fn forget(&self, url: &str) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key(url);
        if known
            .get(&key)
            .is_some_and(|app| app.name.is_none() && !app.refused && !app.removed)
        {
            known.remove(&key);
        }
    }

    /// Someone has removed an app.
    pub(crate) fn removed(&self, url: &str) {
        self.change(url, |app| {
            *app = KnownApp {
                removed: true,
                ..KnownApp::default()
            };
        });
    }

    pub(crate) fn is_removed(&self, url: &str) -> bool {
        self.get(url).removed
    }

    /// An app is asked to register.
    pub(crate) fn asked(&self, url: &str) {
        self.change(url, |app| (app.refused, app.answered) = (false, false));
    }

    /// This server refuses an app's registration; whether that is new.
    pub(crate) fn refused(&self, url: &str, reason: &str) -> bool {
        let reason = shortened(reason);
        self.change(url, |app| {
            app.refused = true;
            replace(&mut app.error, reason)
        })
        .unwrap_or(true)
    }

    /// An app did not answer, or not well; whether that is new.
    pub(crate) fn failed(&self, url: &str, error: &str) -> bool {
        let error = shortened(error);
        self.change(url, |app| !app.refused && replace(&mut app.error, error))
            .unwrap_or(true)
    }

    /// An app answers; whether it did not before.
    pub(crate) fn recovered(&self, url: &str) -> bool {
        self.change(url, |app| !app.refused && app.error.take().is_some())
            .unwrap_or(false)
    }

    fn change<T>(&self, url: &str, change: impl FnOnce(&mut KnownApp) -> T) -> Option<T> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key(url);
        if known.len() >= APPS_MAX && !known.contains_key(&key) {
            return None;
        }
        Some(change(known.entry(key).or_default()))
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(ERROR_CHARS_MAX).collect()
}

fn replace(error: &mut Option<String>, new: String) -> bool {
    let is_new = error.as_ref() != Some(&new);
    *error = Some(new);
    is_new
}

fn key(url: &str) -> String {
    normalize_url(url).unwrap_or_else(|| url.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_app_has_one_standing_by_whatever_name_its_machine_goes() {
        let apps = Apps::default();
        assert!(apps.failed("http://127.0.0.1:3000/api/inngest", "nothing answers there"));
        assert!(!apps.failed("http://localhost:3000/api/inngest", "nothing answers there"));
        assert!(!apps.any_registered());
        apps.registered("http://localhost:3000/api/inngest", "shop", "js:v4.1.2", 3);
        let listed = apps.list();
        assert_eq!(listed.len(), 1, "{listed:?}");
        let (url, app) = &listed[0];
        assert_eq!(url, "http://localhost:3000/api/inngest");
        assert_eq!((app.name.as_deref(), app.functions), (Some("shop"), 3));
        assert_eq!(app.error, None);
    }

    #[test]
    fn why_the_server_refused_an_app_is_not_lost_in_the_apps_own_words() {
        let (apps, url) = (Apps::default(), "http://localhost:3000/api/inngest");
        for new in [true, false] {
            apps.asked(url);
            assert_eq!(apps.refused(url, "function 'f': no steps"), new);
            assert!(!apps.failed(url, "the SDK answered HTTP 500"));
        }
        assert_eq!(
            apps.list()[0].1.error.as_deref(),
            Some("function 'f': no steps")
        );
        apps.asked(url);
        assert!(apps.failed(url, "nothing answers there"));
        assert!(apps.recovered(url) && !apps.recovered(url));
    }

    #[test]
    fn a_removed_app_is_not_known_until_it_registers_by_itself() {
        let (apps, url) = (Apps::default(), "http://localhost:3000/api/inngest");
        apps.registered(url, "shop", "js:v4.1.2", 3);
        apps.removed("http://127.0.0.1:3000/api/inngest");
        assert!(apps.is_removed(url) && apps.list().is_empty());
        apps.failed(url, "nothing answers there");
        assert!(apps.is_removed(url));
        apps.registered(url, "shop", "js:v4.1.2", 3);
        assert!(!apps.is_removed(url) && apps.list().len() == 1);
    }
}
