//! The decisions of durable functions: a deterministic state machine without I/O
