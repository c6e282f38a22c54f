use stepwell::{Context, Error, Function, State};

async fn handler(_: Context, _name: State<String>) -> Result<(), Error> {
    Ok(())
}

fn main() {
    let _ = Function::new("f").on_event("a/b").handler(handler);
}
