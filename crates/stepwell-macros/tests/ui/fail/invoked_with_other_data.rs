use stepwell::{Context, Error, Json, function};

#[function]
async fn double(ctx: Context<Json<u64>>) -> Result<u64, Error> {
    Ok(ctx.data().0 * 2)
}

#[function(on = "shop/a")]
async fn caller(ctx: Context) -> Result<String, Error> {
    Ok(ctx.step().invoke("double", double::REF, Json("four")).await?)
}

fn main() {}
