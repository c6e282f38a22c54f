//! Waiting for an event that belongs to the one that started the run, or for its time to pass.
//!
//! ```sh
//! cargo run -p stepwell --example wait_for_event
//! ```

#![allow(clippy::print_stdout, reason = "an example speaks to people")]

use serde::{Deserialize, Serialize};
use std::time::Duration;
use stepwell::testing::TestApp;
use stepwell::{App, Client, Context, Error, Event, function, schemars::JsonSchema};

const DAY: Duration = Duration::from_secs(86_400);

#[derive(Serialize, Deserialize, JsonSchema, Event)]
#[event(name = "shop/cart.filled")]
struct CartFilled {
    cart: String,
}

#[derive(Serialize, Deserialize, JsonSchema, Event)]
#[event(name = "shop/order.placed")]
struct OrderPlaced {
    cart: String,
    cents: u64,
}

#[function(on = CartFilled)]
async fn remind(ctx: Context<CartFilled>) -> Result<String, Error> {
    let order = ctx
        .step()
        .wait_for_event::<OrderPlaced>("order")
        // Only that of the same cart. `.when(..)` takes any condition.
        .matching("data.cart")
        .timeout(2 * DAY)
        .await?;
    match order {
        Some(order) => Ok(format!("ordered for {} cents", order.data.cents)),
        None => {
            let mail = ctx
                .step()
                .run("remind", || async { Ok("a reminder was sent".to_owned()) });
            Ok(mail.await?)
        }
    }
}

pub(crate) async fn run() -> anyhow::Result<[String; 2]> {
    let app = TestApp::start(App::new(Client::dev("shop")).function(remind())).await?;
    let filled = |cart: &str| CartFilled {
        cart: cart.to_owned(),
    };
    app.send_in(
        DAY,
        OrderPlaced {
            cart: "c-1".to_owned(),
            cents: 1_999,
        },
    );
    let ordered = app.run(filled("c-1")).await?;
    let forgotten = app.run(filled("c-2")).await?;
    Ok([ordered.output(), forgotten.output()])
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    println!("{:?}", run().await?);
    Ok(())
}
