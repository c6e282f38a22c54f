//! Derive macros of the stepwell crate
