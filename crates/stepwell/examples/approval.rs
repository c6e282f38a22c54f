//! A person's approval: the run waits for a signal, which a web handler sends when the person clicks. Nothing is kept alive
//! meanwhile, and a restart changes nothing.
//!
//! ```sh
//! cargo run -p stepwell --example approval
//! ```

#![allow(clippy::print_stdout, reason = "an example speaks to people")]

use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;
use stepwell::testing::TestApp;
use stepwell::{App, Client, Context, Error, OutgoingEvent, function};

const DAY: Duration = Duration::from_secs(86_400);

#[derive(Serialize, Deserialize)]
struct Decision {
    by: String,
    approved: bool,
}

#[function(on = "post/written")]
async fn publish(ctx: Context) -> Result<String, Error> {
    let (step, post) = (ctx.step(), ctx.data()["post"].as_str().unwrap_or_default());
    let link = step.run("ask", || async { Ok(format!("/approve/{post}")) });
    let _link: String = link.await?;
    let decision = step.wait_for_signal::<Decision>("decision", format!("approve/{post}"));
    Ok(match decision.timeout(7 * DAY).await? {
        Some(Decision { by, approved: true }) => format!("{post} is out, says {by}"),
        Some(Decision {
            by,
            approved: false,
        }) => format!("{post} is not for the public, says {by}"),
        None => format!("nobody looked at {post}"),
    })
}

pub(crate) async fn run() -> anyhow::Result<Vec<String>> {
    let app = TestApp::start(App::new(Client::dev("blog")).function(publish())).await?;
    // What a web handler does: client.send_signal("approve/p-1", &decision).await
    let decide = |after, post: &str, approved| {
        let decision = Decision {
            by: "Ada".to_owned(),
            approved,
        };
        app.signal_in(after, &format!("approve/{post}"), decision)
    };
    decide(2 * DAY, "p-1", true)?;
    decide(6 * DAY, "p-2", false)?;
    let mut outcomes = Vec::new();
    for post in ["p-1", "p-2", "p-3"] {
        let written = OutgoingEvent::untyped("post/written", json!({"post": post}));
        outcomes.push(app.run(written).await?.output());
    }
    Ok(outcomes)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    println!("{:#?}", run().await?);
    Ok(())
}
