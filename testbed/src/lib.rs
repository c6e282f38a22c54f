//! What tests need beside the code they test: servers, private to whoever starts them, and files made by hand.
//!
//! [`postgres`] runs PostgreSQL with pgvector in a folder of its own, on loopback, for as long as the process that
//! started it lives. [`pdf`] makes PDF files out of objects. Neither knows of anything else in the workspace, so that any
//! crate's tests can use them.

pub mod pdf;
pub mod postgres;
