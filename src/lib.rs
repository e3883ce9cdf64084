//! tokman
pub mod config;
pub mod emulator;
pub mod model;
pub mod provider;
