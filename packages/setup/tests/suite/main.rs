//! The studio as its programs compose it: the functions on an engine that keeps its state in a file, on both databases,
//! with the real clients of the services, which speak to a server that answers as the services do.

mod brand;
mod history;
mod media;
mod services;
mod studio;
mod vision;
