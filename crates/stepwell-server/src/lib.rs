//! The HTTP server: event API, registration, REST
