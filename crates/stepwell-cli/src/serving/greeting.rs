//! What a server says when it takes requests.

use super::{Options, Shape, Sync};
use crate::printing;
use serde_json::json;
use stepwell_server::{EventKeys, ServerKind};

/// Prints where the server is and what to try.
pub(super) fn greet(options: &Options, shape: &Shape, url: &str) -> anyhow::Result<()> {
    let sync = match options.sync {
        None | Some(Sync::Full) => "full",
        Some(Sync::Process) => "process",
    };
    if shape.json {
        let database = shape
            .database
            .as_ref()
            .map(|path| path.display().to_string());
        return printing::line(
            &json!({"url": url, "kind": shape.kind.as_str(), "database": database, "apps": options.sdk_url})
                .to_string(),
        );
    }
    // Commands look for the server there by themselves.
    let at = match url {
        "http://127.0.0.1:8288" => String::new(),
        url => format!(" --url {url}"),
    };
    let mut lines = vec![format!("listening on {url}")];
    let mut say = |what: &str, text: String| lines.push(format!("  {what:<10}  {text}"));
    match &shape.database {
        Some(path) => say("state", format!("{} (sync: {sync})", path.display())),
        None => say(
            "state",
            "in memory; keep it with --persist or --db FILE".to_owned(),
        ),
    }
    for app in &options.sdk_url {
        say("app", app.clone());
    }
    match (options.sdk_url.is_empty(), shape.finds) {
        (true, true) => say(
            "apps",
            "are looked for on the usual ports; name others with -u URL".to_owned(),
        ),
        (true, false) => say(
            "apps",
            "none asked for; name one with -u URL, or let it register itself".to_owned(),
        ),
        (false, _) => {}
    }
    if shape.kind == ServerKind::Dev {
        if matches!(shape.keys.events, EventKeys::Any) {
            let send = "stepwell events send demo/hello '{\"name\": \"Ada\"}'";
            say("send", format!("{send}{at}"));
        }
        say("functions", format!("stepwell functions{at}"));
    } else {
        say("health", format!("{url}/health"));
        say("check", format!("stepwell doctor{at}"));
    }
    printing::line(&lines.join("\n"))
}
