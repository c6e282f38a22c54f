#[derive(Clone, stepwell::FromRef)]
enum Deps {
    One,
}

fn main() {}
