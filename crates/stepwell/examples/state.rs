//! What a handler needs besides its event, such as a pool of connections, comes out of the state by its type.
//!
//! ```sh
//! cargo run -p stepwell --example state
//! ```

#![allow(clippy::print_stdout, reason = "an example speaks to people")]

use serde_json::json;
use stepwell::testing::TestApp;
use stepwell::{App, Client, Context, Error, FromRef, OutgoingEvent, State, function};

/// Each field can be taken by its type.
#[derive(Clone, FromRef)]
struct Deps {
    mailer: Mailer,
    limits: Limits,
}

#[derive(Clone)]
struct Mailer {
    from: &'static str,
}

#[derive(Clone)]
struct Limits {
    mails_max: usize,
}

impl Mailer {
    async fn send(&self, to: &str) -> Result<String, Error> {
        Ok(format!("{} wrote to {to}", self.from))
    }
}

#[function(on = "letter/due")]
async fn newsletter(
    ctx: Context,
    mailer: State<Mailer>,
    State(limits): State<Limits>,
) -> Result<Vec<String>, Error> {
    let mut sent = Vec::new();
    for to in ["ada", "bob", "cem"].into_iter().take(limits.mails_max) {
        sent.push(
            ctx.step()
                .run(format!("mail {to}"), || mailer.send(to))
                .await?,
        );
    }
    Ok(sent)
}

pub(crate) async fn run() -> anyhow::Result<Vec<String>> {
    let deps = Deps {
        mailer: Mailer { from: "Eve" },
        limits: Limits { mails_max: 2 },
    };
    let app = TestApp::start(App::new(Client::dev("news")).function(newsletter(deps))).await?;
    let run = app
        .run(OutgoingEvent::untyped("letter/due", json!({})))
        .await?;
    Ok(run.output())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    println!("{:?}", run().await?);
    Ok(())
}
