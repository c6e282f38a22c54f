//! The studio as its users meet it: over HTTP, and by its commands.

mod api;
mod budgets;
mod cli;
mod crash;
mod files;
mod pdfs;
mod studio;
