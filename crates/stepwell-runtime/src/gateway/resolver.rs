//! Resolves names to addresses that may be connected to.

use super::Rule;
use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::io;
use std::net::SocketAddr;

/// Finds a name's addresses.
pub(super) type Lookup = fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;

/// A host whose address is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{host}' is {kind}, and requests to private addresses are refused; start the server with \
     --allow-private-addresses to make them"
)]
pub(crate) struct Refused {
    /// The host as the URL says it.
    pub(super) host: String,
    /// What its address is.
    pub(super) kind: &'static str,
}

/// Gives the client no address that the rule refuses. What it gives is what the client connects to: a name that
/// resolves to something else the next time gains nothing.
#[derive(Debug)]
pub(super) struct Guarded {
    pub(super) rule: Rule,
    pub(super) lookup: Lookup,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let (rule, lookup) = (self.rule, self.lookup);
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let addresses = lookup(host.clone()).await?;
            // One that is refused among others that are not is how an attempt to get by looks.
            if let Some(kind) = addresses.iter().find_map(|address| rule(address.ip())) {
                return Err(Refused { host, kind }.into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// The system's own resolver.
pub(super) fn system(host: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
    // The port is the URL's; the client fills it in.
    Box::pin(async move { Ok(tokio::net::lookup_host((host, 0)).await?.collect()) })
}
