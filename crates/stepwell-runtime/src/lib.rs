//! Drives the engine: batching loop, timers, invokers
