//! The stream from a controller to its nodes, without sockets.

mod connection;
mod placed;
mod plans;
mod states;
