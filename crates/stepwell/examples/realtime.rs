//! Messages for whoever follows along: here a program, with the same code whether the engine is in its process or a server.
//! Browsers subscribe with tokens of a server.
//!
//! ```sh
//! cargo run -p stepwell --example realtime
//! ```

#![allow(clippy::print_stdout, reason = "an example speaks to people")]

use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;
use stepwell::embedded::Embedded;
use stepwell::realtime::Content;
use stepwell::{App, Client, Context, Error, OutgoingEvent, Topic, function};

#[derive(Serialize, Deserialize)]
struct Progress {
    percent: u8,
}

fn progress_of(upload: &str) -> Topic<Progress> {
    Topic::new(format!("upload:{upload}"), "progress")
}

#[function(on = "upload/done")]
async fn transcode(ctx: Context) -> Result<(), Error> {
    let topic = progress_of(ctx.data()["upload"].as_str().unwrap_or_default());
    for percent in [50, 100] {
        let part = ctx
            .step()
            .run(format!("to {percent} %"), || async { Ok(()) });
        part.await?;
        ctx.step()
            .publish("tell", &topic, &Progress { percent })
            .await?;
    }
    Ok(())
}

pub(crate) async fn run() -> anyhow::Result<Vec<String>> {
    let app = App::new(Client::dev("video")).function(transcode());
    let engine = Embedded::builder().app(app).memory().start().await?;
    let mut messages = engine.client().subscribe_to(&progress_of("u-1")).await?;
    let event = OutgoingEvent::untyped("upload/done", json!({"upload": "u-1"}));
    engine.send(event).await?;
    let mut heard = Vec::new();
    while heard.len() < 2
        && let Some(message) = messages.next().await
    {
        let message = message?;
        if let Content::Data(Progress { percent }) = message.content {
            heard.push(format!(
                "{} {}: {percent} %",
                message.channel, message.topic
            ));
        }
    }
    engine.shutdown(Duration::from_secs(10)).await;
    Ok(heard)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    println!("{:#?}", run().await?);
    Ok(())
}
