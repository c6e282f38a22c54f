use stepwell::{Context, Error, Function, State, function};

#[function(on = "shop/a")]
async fn mails(_: Context, _: State<String>) -> Result<(), Error> {
    Ok(())
}

fn main() {
    let _: Function = mails(7_u32);
}
