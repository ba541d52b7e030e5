//! The table of UDP flows with the model of its tests, from the proxy's own files: neither is public.
#![allow(dead_code)] // the proxy uses the rest

#[path = "../../gateway-user/proxy/src/l4/udp/class.rs"]
mod class;
#[path = "../../gateway-user/proxy/src/l4/udp/list.rs"]
mod list;
#[path = "../../gateway-user/proxy/src/l4/udp/model.rs"]
mod model;
#[path = "../../gateway-user/proxy/src/l4/udp/table.rs"]
mod table;

use model::{Model, Step};

/// Takes the steps that the bytes say, two for each; panics where the table is not what a list of its flows would be.
pub fn play(bytes: &[u8]) {
    let mut model = Model::new();
    for pair in bytes.chunks_exact(2) {
        let (kind, value) = (pair[0], pair[1]);
        model.step(match kind % 8 {
            0..=3 => Step::Client { client: kind >> 3 & 7, port: value & 3, group: value >> 2 & 3 },
            4 | 5 => Step::Backend(value),
            6 => Step::End(value),
            _ if kind & 8 == 0 => Step::Wait(value % 16),
            _ => Step::HandOver(value % 8),
        });
    }
}
