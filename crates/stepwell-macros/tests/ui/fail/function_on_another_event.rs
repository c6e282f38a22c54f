use serde::{Deserialize, Serialize};
use stepwell::{Context, Error, Event, function, schemars::JsonSchema};

#[derive(Serialize, Deserialize, JsonSchema, Event)]
#[event(name = "shop/order.placed")]
struct Placed {
    order_id: String,
}

#[derive(Serialize, Deserialize, JsonSchema, Event)]
#[event(name = "shop/order.paid")]
struct Paid {
    cents: u64,
}

#[function(on = Placed)]
async fn ship(_: Context<Paid>) -> Result<(), Error> {
    Ok(())
}

fn main() {}
