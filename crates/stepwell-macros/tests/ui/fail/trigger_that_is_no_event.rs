use stepwell::{Context, Error, Function};

struct NotAnEvent;

async fn handler(_: Context<NotAnEvent>) -> Result<(), Error> {
    Ok(())
}

fn main() {
    let _ = Function::new("f").on::<NotAnEvent>().handler(handler);
}
