//! Durable, event-driven functions for Rust
