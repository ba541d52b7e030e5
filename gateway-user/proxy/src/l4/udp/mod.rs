//! UDP: datagrams of one client and port go to one backend, and its datagrams back, for as long as either comes.

mod adopt;
mod class;
mod flow;
mod forward;
mod handed;
mod list;
#[cfg(test)]
mod model;
mod moving;
mod server;
mod table;

pub use handed::{Adopted, Clients, HandedFlow, HandedOver};
pub use moving::MovingFlows;
pub(crate) use server::Datagrams;
