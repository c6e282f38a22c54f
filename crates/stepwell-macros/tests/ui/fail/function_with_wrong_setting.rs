use stepwell::{Context, Error, function};

#[function(on = "shop/a", throttle = 5)]
async fn throttled(_: Context) -> Result<(), Error> {
    Ok(())
}

fn main() {}
