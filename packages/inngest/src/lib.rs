//! The studio's background jobs: events, functions, middleware
