//! What every black-box test stands on: a scrubbed world to run the binary in, a scripted server for it to talk to,
//! and secrets that are noticed wherever they do not belong.

pub mod answer;
pub mod env;
pub mod machine;
pub mod request;
pub mod run;
pub mod secrets;
pub mod server;
pub mod stored;

pub use answer::{Answer, Gate};
pub use env::TestEnv;
pub use request::Request;
pub use secrets::canary;
pub use server::{Server, Step};
pub use stored::Stored;
