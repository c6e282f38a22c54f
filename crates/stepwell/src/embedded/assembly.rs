//! Apps, put together for an engine of this process.

use super::StartError;
use super::record::Names;
use crate::app::{App, Runner};
use crate::client::{Client, EventSink, LocalApi};
use crate::moment::Clock;
use std::collections::HashMap;
use std::sync::Arc;
use stepwell_engine::AppSync;
use stepwell_protocol::AppId;
use stepwell_runtime::{RegisterError, check_registration};

/// The scheme of the URLs of functions in this process.
pub(crate) const SCHEME: &str = "embedded";

/// Apps that are ready to be called and to be registered.
pub(crate) struct Assembly {
    /// By the URL under which they are registered.
    pub(crate) runners: Arc<HashMap<String, Runner>>,
    pub(crate) syncs: Vec<AppSync>,
    pub(crate) clients: Vec<Client>,
    pub(crate) names: Arc<Names>,
}

/// What clients and steps have instead of a server.
#[derive(Clone)]
pub(crate) struct Wiring {
    pub(crate) sink: Arc<dyn EventSink>,
    pub(crate) local: Arc<dyn LocalApi>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Wiring {
    /// The same client, wired so.
    pub(crate) fn apply(&self, client: &Client) -> Client {
        let local = Some(Arc::clone(&self.local));
        client.with(Arc::clone(&self.sink), local, Arc::clone(&self.clock))
    }
}

/// Checks the apps, and wires their clients and steps.
pub(crate) fn assemble(apps: Vec<App>, wiring: &Wiring) -> Result<Assembly, StartError> {
    let mut runners = HashMap::new();
    let mut syncs = Vec::new();
    let mut clients = Vec::new();
    let mut names = Names::default();
    for app in apps {
        let name = app.client().app_id().to_owned();
        let client = wiring.apply(app.client());
        let runner = app.with_client(client.clone()).runner();
        let runner = runner.map_err(|source| StartError::App {
            app: name.clone(),
            source,
        })?;
        let url = format!("{SCHEME}://{}", AppId::of(&name));
        let sync = check_registration(&runner.registration(&url)).map_err(|error| match error {
            RegisterError::Functions(errors) => StartError::Functions {
                app: name.clone(),
                errors,
            },
            source => StartError::Register {
                app: name.clone(),
                source,
            },
        })?;
        for function in &sync.functions {
            names.insert(function.id, function.slug.as_ref());
        }
        if runners.insert(url, runner).is_some() {
            return Err(StartError::DuplicateApp(name));
        }
        syncs.push(sync);
        clients.push(client);
    }
    Ok(Assembly {
        runners: Arc::new(runners),
        syncs,
        clients,
        names: Arc::new(names),
    })
}
