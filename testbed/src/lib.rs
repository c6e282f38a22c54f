//! Servers that tests need, private to whoever starts them.
//!
//! [`postgres`] runs PostgreSQL with pgvector in a folder of its own, on loopback, for as long as the process that
//! started it lives. It knows of nothing else in the workspace, so that any crate's tests can use it.

pub mod postgres;
