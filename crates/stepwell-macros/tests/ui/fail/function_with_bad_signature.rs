use stepwell::{Context, Error, State, function};

#[function]
fn not_async(_: Context) -> Result<(), Error> {
    Ok(())
}

#[function]
async fn no_context() -> Result<(), Error> {
    Ok(())
}

#[function]
async fn other_first(_: State<u32>, _: Context) -> Result<(), Error> {
    Ok(())
}

#[function]
async fn bare_state(_: Context, mailer: u32) -> Result<(), Error> {
    Ok(())
}

#[function]
async fn no_result(_: Context) {}

#[function]
async fn generic<T>(_: Context) -> Result<(), Error> {
    Ok(())
}

fn main() {}
