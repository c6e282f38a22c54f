//! The commands, one file each.

pub(crate) mod dev;
pub(crate) mod documents;
pub(crate) mod keys;
pub(crate) mod start;
