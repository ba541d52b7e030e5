//! UDP: datagrams of one client and port go to one backend, and its datagrams back, for as long as either comes.

mod class;
mod flow;
mod forward;
mod list;
mod server;
mod table;

pub(crate) use server::Datagrams;
