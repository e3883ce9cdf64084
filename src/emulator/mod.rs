//! Square and Wix on this machine.
