//! Settings of the original server that Stepwell does not have.
//!
//! What only tunes it is ignored, so that its files and environments can be used as they are. What would put state in a
//! place where Stepwell does not keep any is refused.

use super::Surroundings;

/// What has no meaning here and does no harm.
const IGNORED: &[&str] = &[
    "connect-executor-grpc-ip",
    "connect-executor-grpc-port",
    "connect-gateway-grpc-ip",
    "connect-gateway-grpc-port",
    "connect-gateway-port",
    "debug-api-port",
    "no-ui",
    "postgres-conn-max-idle-time",
    "postgres-conn-max-lifetime",
    "postgres-max-idle-conns",
    "postgres-max-open-conns",
    "system-trace-endpoint",
    "system-trace-url-path",
    "verbose",
];
/// What somebody relies on who sets it.
const REFUSED: &[(&str, &str)] = &[
    (
        "postgres-uri",
        "cannot be used: Stepwell keeps its state in one SQLite file; take it out and say where with db",
    ),
    (
        "redis-uri",
        "cannot be used: Stepwell keeps its queue in its own database; take it out",
    ),
];
/// Commands that keep state.
const SERVERS: &[&str] = &["dev", "start"];

pub(super) fn is_ignored(key: &str) -> bool {
    IGNORED.contains(&key)
}

pub(super) fn refusal(key: &str) -> Option<&'static str> {
    let found = REFUSED.iter().find(|(known, _)| *known == key);
    found.map(|(_, refusal)| *refusal)
}

/// The same for variables, which are set for a server only when one is started.
pub(super) fn check_variables(
    command: &str,
    surroundings: &Surroundings,
    errors: &mut Vec<String>,
) {
    if !SERVERS.contains(&command) {
        return;
    }
    for (key, refusal) in REFUSED {
        let variable = format!("{}{}", super::THEIRS, super::screaming(key));
        if surroundings.variable(&variable).is_some() {
            errors.push(format!("{variable} {refusal}"));
        }
    }
}
