//! Keeps a client from addresses that it may not connect to.

use super::resolver::{Guarded, Lookup, Refused};
use super::{PrivateAddresses, Rule, address, resolver};
use reqwest::ClientBuilder;
use std::net::IpAddr;
use std::sync::Arc;
use url::{Host, Url};

/// Which addresses a client may connect to, and how it finds them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guard {
    rule: Option<Rule>,
    lookup: Lookup,
}

impl Guard {
    /// A guard with this rule for addresses.
    pub(crate) fn of(private: PrivateAddresses) -> Self {
        let rule = match private {
            PrivateAddresses::Refuse => Some(address::not_public as Rule),
            PrivateAddresses::Allow => None,
        };
        Self::new(rule, resolver::system)
    }

    /// A guard with a rule of a test's own.
    #[cfg(test)]
    pub(crate) fn by_rule(rule: Rule) -> Self {
        Self::new(Some(rule), resolver::system)
    }

    pub(super) fn new(rule: Option<Rule>, lookup: Lookup) -> Self {
        Self { rule, lookup }
    }

    /// Whether everything may be connected to.
    pub(crate) fn lets_all_through(self) -> bool {
        self.rule.is_none()
    }

    /// Has a client connect only to addresses that pass. Proxies are not used then: where they connect to is not seen
    /// from here.
    pub(crate) fn watch(self, builder: ClientBuilder) -> ClientBuilder {
        let lookup = self.lookup;
        match self.rule {
            None => builder,
            Some(rule) => builder
                .no_proxy()
                .dns_resolver(Arc::new(Guarded { rule, lookup })),
        }
    }

    /// Checks a host that is an address itself: such a host is not resolved.
    pub(crate) fn check(self, url: &Url) -> Result<(), Refused> {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        match self.rule.and_then(|rule| rule(address)) {
            None => Ok(()),
            Some(kind) => Err(Refused {
                host: url.host_str().unwrap_or_default().to_owned(),
                kind,
            }),
        }
    }
}
