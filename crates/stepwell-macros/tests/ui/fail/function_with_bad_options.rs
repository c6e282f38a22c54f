use stepwell::{Context, Error, function};

#[function(id = "has space")]
async fn bad_id(_: Context) -> Result<(), Error> {
    Ok(())
}

#[function(retry = 3)]
async fn unknown(_: Context) -> Result<(), Error> {
    Ok(())
}

#[function(retries = 30)]
async fn too_many(_: Context) -> Result<(), Error> {
    Ok(())
}

#[function(retries)]
async fn no_value(_: Context) -> Result<(), Error> {
    Ok(())
}

#[function(id = "a", id = "b")]
async fn twice(_: Context) -> Result<(), Error> {
    Ok(())
}

#[function(on = "shop*")]
async fn bad_pattern(_: Context) -> Result<(), Error> {
    Ok(())
}

#[function(cron = "5 * * *")]
async fn bad_cron(_: Context) -> Result<(), Error> {
    Ok(())
}

#[function(on("shop/a", when = "true"))]
async fn bad_condition(_: Context) -> Result<(), Error> {
    Ok(())
}

#[function(deferred, on = "shop/a")]
async fn two_kinds(_: Context) -> Result<(), Error> {
    Ok(())
}

fn main() {}
