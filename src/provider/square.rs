//! Square.
/// Square.
#[derive(Debug)]
pub struct Square;
