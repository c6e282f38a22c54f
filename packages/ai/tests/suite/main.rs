//! The providers' clients against local servers that speak as the services do.

mod fal;
mod gemini;
mod llama_parse;
mod server;
