//! The event expression language: parse, check and evaluate
