//! Document text, chunks and retrieval
