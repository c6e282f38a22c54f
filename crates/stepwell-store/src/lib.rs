//! Durable storage for the engine: the store contract, SQLite and memory
