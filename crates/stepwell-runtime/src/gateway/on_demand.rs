//! A gateway that is prepared when it is first needed, or before.

use super::{Failure, Gateway, PrivateAddresses};
use std::sync::{Arc, OnceLock};
use stepwell_protocol::gateway::Request;
use stepwell_protocol::{SharedJson, UserError};

/// When the gateway is prepared: its TLS roots are read then, which takes tens of milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Preparation {
    /// Before anything runs, so that what is wrong with it is known at the start.
    #[default]
    AtStart,
    /// With the first request, for engines that likely make none and are to start fast.
    OnDemand,
}

/// A gateway, sooner or later. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct OnDemand {
    private: PrivateAddresses,
    gateway: Arc<OnceLock<Result<Gateway, String>>>,
}

impl OnDemand {
    pub(crate) fn new(
        private: PrivateAddresses,
        preparation: Preparation,
    ) -> Result<Self, reqwest::Error> {
        let gateway = match preparation {
            Preparation::AtStart => OnceLock::from(Ok(Gateway::new(private)?)),
            Preparation::OnDemand => OnceLock::new(),
        };
        Ok(Self {
            private,
            gateway: Arc::new(gateway),
        })
    }

    /// See [`Gateway::perform`].
    pub(crate) async fn perform(&self, request: &Request) -> Result<SharedJson, Failure> {
        let made = || Gateway::new(self.private).map_err(|error| error.to_string());
        match self.gateway.get_or_init(made) {
            Ok(gateway) => gateway.perform(request).await,
            Err(reason) => Err(Failure {
                error: UserError::new(
                    request.kind.error_name(),
                    format!("HTTP requests cannot be prepared: {reason}"),
                ),
                retry_after: None,
                retriable: false,
            }),
        }
    }
}
