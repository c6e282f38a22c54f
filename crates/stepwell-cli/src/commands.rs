//! The commands, one file each.

pub(crate) mod backup;
pub(crate) mod dev;
pub(crate) mod doctor;
pub(crate) mod documents;
pub(crate) mod events;
pub(crate) mod functions;
pub(crate) mod keys;
pub(crate) mod runs;
pub(crate) mod start;
