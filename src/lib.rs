//! tokman
pub mod config;
pub mod emulator;
pub mod env;
pub mod fsutil;
pub mod model;
pub mod net;
pub mod ops;
pub mod provider;
pub mod store;
