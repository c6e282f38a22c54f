use stepwell::{Context, Error, FromRef, Function, State};

#[derive(Clone, FromRef)]
struct Deps {
    name: String,
    limit: u32,
    #[from_ref(skip)]
    other_name: String,
}

async fn handler(_: Context, State(name): State<String>, limit: State<u32>, all: State<Deps>) -> Result<usize, Error> {
    Ok(name.len() + *limit as usize + all.other_name.len())
}

async fn with_anyhow(_: Context) -> anyhow::Result<()> {
    Ok(())
}

async fn with_std(_: Context) -> Result<(), std::io::Error> {
    Ok(())
}

fn main() {
    let deps = Deps { name: "a".into(), limit: 1, other_name: "b".into() };
    let _ = Function::new("f").on_event("a/b").state(deps).handler(handler);
    let _ = Function::new("g").on_event("a/b").handler(with_anyhow);
    let _ = Function::new("h").on_event("a/b").handler(with_std);
}
