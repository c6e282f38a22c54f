//! The stepwell command line
fn main() {}
