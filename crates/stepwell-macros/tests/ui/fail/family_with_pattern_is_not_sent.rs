use stepwell::{Client, Event};

#[derive(Event)]
enum Shop {
    #[event(pattern = "shop/*")]
    Other(serde_json::Value),
}

async fn send(client: Client, event: Shop) {
    let _ = client.send(event).await;
}

fn main() {}
