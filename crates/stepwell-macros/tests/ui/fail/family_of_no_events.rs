use stepwell::Event;

struct Placed;

#[derive(Event)]
enum Order {
    Placed(Placed),
}

fn main() {}
