//! An enum of events, with and without a pattern.

use serde::{Deserialize, Serialize};
use stepwell::{Context, Error, Event, Function, OutgoingEvent, schemars::JsonSchema};

#[derive(Serialize, Deserialize, JsonSchema, Event)]
#[event(name = "shop/order.placed")]
struct Placed {
    order_id: String,
}

#[derive(Serialize, Deserialize, JsonSchema, Event)]
#[event(name = "shop/order.paid", version = "2")]
struct Paid {
    cents: u64,
}

#[derive(Event)]
enum Order {
    Placed(Placed),
    Paid(Paid),
}

#[derive(Event)]
#[event(crate = "::stepwell")]
enum Shop {
    Placed(Placed),
    #[event(pattern = "shop/*")]
    Other(stepwell::Json<u32>),
}

async fn order(ctx: Context<Order>) -> Result<String, Error> {
    Ok(match ctx.data() {
        Order::Placed(placed) => placed.order_id.clone(),
        Order::Paid(paid) => paid.cents.to_string(),
    })
}

async fn shop(ctx: Context<Shop>) -> Result<u32, Error> {
    Ok(match ctx.data() {
        Shop::Placed(_) => 0,
        Shop::Other(number) => **number,
    })
}

fn main() {
    let _ = Function::new("order").on::<Order>().handler(order);
    let _ = Function::new("shop").on_if::<Shop>("event.data.a == 1").handler(shop);
    let event: OutgoingEvent = Order::Paid(Paid { cents: 1 }).into();
    assert_eq!(event.name(), "shop/order.paid");
}
