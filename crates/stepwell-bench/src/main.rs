//! Load generator and benchmarks for servers of the protocol
fn main() {}
