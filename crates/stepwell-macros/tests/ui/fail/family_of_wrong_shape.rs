use stepwell::Event;

#[derive(Event)]
enum Empty {}

#[derive(Event)]
enum Unit {
    Placed,
}

#[derive(Event)]
enum Named {
    Placed { order_id: String },
}

#[derive(Event)]
#[event(name = "shop/order")]
enum WithName {
    Other(serde_json::Value),
}

#[derive(Event)]
enum BadPattern {
    #[event(pattern = "shop*")]
    Other(u32),
}

#[derive(Event)]
enum BadOption {
    #[event(name = "shop/a")]
    Other(u32),
}

fn main() {}
