//! AI
