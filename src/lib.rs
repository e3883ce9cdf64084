//! tokman
pub mod config;
pub mod emulator;
pub mod env;
pub mod fsutil;
pub mod model;
pub mod provider;
pub mod store;
