//! What every black-box test stands on: a scrubbed world to run the binary in, a scripted server for it to talk to,
//! and secrets that are noticed wherever they do not belong.

pub mod answer;
#[cfg(feature = "emulator")]
pub mod chrome;
pub mod disk;
#[cfg(feature = "emulator")]
pub mod emulated;
pub mod env;
pub mod light;
pub mod machine;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod report;
pub mod request;
pub mod rotating;
pub mod run;
pub mod secrets;
pub mod server;
pub mod shop;
pub mod stored;
pub mod stored_square;
pub mod strace;
pub mod terminal;

pub use answer::{Answer, Gate};
pub use env::TestEnv;
pub use request::Request;
pub use rotating::{Delivery, Phase, Rotating, Rotation};
pub use run::Run;
pub use secrets::{canary, sealing_key};
pub use server::{Server, Step};
pub use shop::{Shop, Sort};
pub use stored_square::Stored;
