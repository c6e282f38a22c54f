//! The studio's web API and all-in-one mode
fn main() {}
