//! The gateway that workers connect to, as options and as a port of its own.

use anyhow::Context;
use clap::Args;
use std::io::ErrorKind;
use std::time::Duration;
use stepwell_protocol::signing::SigningKey;
use stepwell_runtime::Handle;
use stepwell_server::{Apps, ConnectOptions, ConnectTimes, ConnectionLimits, Gateway};
use tokio::net::TcpListener;

/// Connections beside those of workers.
const HESITANT_MAX: usize = 256;

#[derive(Debug, Args)]
pub(crate) struct Connect {
    /// Port on which workers connect; 0 takes a free one, and so does `dev` where it is taken.
    #[arg(
        id = "connect_gateway_port",
        long = "connect-gateway-port",
        env = "STEPWELL_CONNECT_GATEWAY_PORT",
        default_value_t = 8289,
        value_name = "PORT"
    )]
    port: u16,
    /// Where workers are told to connect, e.g. wss://jobs.example/v0/connect, where they cannot reach the host that they
    /// asked at that port.
    #[arg(
        id = "connect_gateway_url",
        long = "connect-gateway-url",
        env = "STEPWELL_CONNECT_GATEWAY_URL",
        value_name = "URL",
        value_parser = parse_url
    )]
    url: Option<String>,
    /// Workers connected at once.
    #[arg(
        id = "connect_max_workers",
        long = "connect-max-workers",
        env = "STEPWELL_CONNECT_MAX_WORKERS",
        default_value_t = 1_000,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=100_000)
    )]
    workers_max: u32,
    /// How long a call stays with a worker that is not heard of. A worker whose connection broke gets half of it to come
    /// back.
    #[arg(
        id = "connect_lease",
        long = "connect-lease",
        env = "STEPWELL_CONNECT_LEASE",
        default_value_t = 120,
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(6..=3_600)
    )]
    lease_s: u64,
}

impl Connect {
    /// The gateway, not yet listening.
    pub(crate) fn gateway(
        &self,
        signing_key: Option<SigningKey>,
        signing_key_fallback: Option<SigningKey>,
    ) -> Gateway {
        Gateway::new(ConnectOptions {
            signing_key,
            signing_key_fallback,
            connections_max: self.workers_max as usize,
            url: self.url.clone(),
            times: ConnectTimes::with_lease(Duration::from_secs(self.lease_s)),
            ..ConnectOptions::default()
        })
    }

    /// Connections at once on the gateway's port.
    pub(crate) fn connections_max(&self) -> usize {
        // A few more than workers, so that those who are too many are told so.
        self.workers_max as usize + HESITANT_MAX
    }

    /// Takes the gateway's port, or if it `moves` and that is taken a free one, and serves it until the program ends.
    pub(crate) async fn listen(
        &self,
        host: &str,
        gateway: &Gateway,
        handle: Handle,
        apps: Apps,
        moves: bool,
    ) -> anyhow::Result<()> {
        let listener = match TcpListener::bind((host, self.port)).await {
            Err(error) if moves && error.kind() == ErrorKind::AddrInUse => {
                TcpListener::bind((host, 0)).await
            }
            bound => bound,
        };
        let listener = listener.with_context(|| {
            format!(
                "cannot listen on {host}:{}; choose another port with --connect-gateway-port",
                self.port
            )
        })?;
        let address = listener
            .local_addr()
            .context("the listener has no address")?;
        gateway.listens_on(address.port());
        let router = gateway.router(handle, apps);
        let limits = ConnectionLimits {
            connections_max: self.connections_max(),
            ..ConnectionLimits::default()
        };
        let never = std::future::pending();
        tokio::spawn(stepwell_server::serve(listener, router, limits, never));
        Ok(())
    }
}

fn parse_url(text: &str) -> Result<String, String> {
    let rest = text
        .strip_prefix("ws://")
        .or_else(|| text.strip_prefix("wss://"));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.starts_with('/') => Ok(text.to_owned()),
        _ => Err("write a WebSocket's URL, e.g. wss://jobs.example/v0/connect".to_owned()),
    }
}
