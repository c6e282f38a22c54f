//! Where traces of runs go, as options.

use anyhow::Context;
use clap::Args;
use stepwell_runtime::Handle;
use stepwell_server::{Tracer, TracerOptions};

/// The variable of OpenTelemetry for the same.
const STANDARD: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

#[derive(Debug, Args)]
pub(crate) struct Traces {
    /// Tell the OpenTelemetry collector at this URL (OTLP over HTTP, e.g. http://localhost:4318) of runs that have ended, as
    /// traces. OTEL_EXPORTER_OTLP_ENDPOINT does as well.
    #[arg(
        help_heading = "Settings and logs",
        long,
        env = "STEPWELL_OTLP_ENDPOINT",
        value_name = "URL"
    )]
    otlp_endpoint: Option<String>,
}

impl Traces {
    /// What tells a collector of this engine's runs, if there is one.
    pub(crate) fn tracer(&self, handle: Handle) -> anyhow::Result<Option<Tracer>> {
        let set = |name: &str| {
            let value = std::env::var(name).ok();
            value.filter(|value| !value.trim().is_empty())
        };
        let disabled = set("OTEL_SDK_DISABLED").is_some_and(|it| it.eq_ignore_ascii_case("true"));
        let (name, endpoint) = match (&self.otlp_endpoint, set(STANDARD)) {
            (Some(endpoint), _) => ("otlp-endpoint", endpoint.clone()),
            (None, Some(endpoint)) if !disabled => (STANDARD, endpoint),
            (None, _) => return Ok(None),
        };
        let options = TracerOptions {
            endpoint,
            service: "stepwell".to_owned(),
        };
        Tracer::new(handle, &options).map(Some).context(name)
    }
}
