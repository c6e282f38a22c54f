//! The studio's database
