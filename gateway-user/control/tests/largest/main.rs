//! One tenant writes the largest objects that the API server takes; another one has a small route beside
//! them.
//!
//! Each test builds the largest of one kind and bounds what it costs by counts that are the same on every
//! machine: bytes that translation and compilation ask the allocator for, bytes that stay in use, and what
//! the neighbour's edit of one word asks for afterwards. Sizes come from the CRDs (`maxItems`, `maxLength`,
//! and the rule that a route has fewer than 128 matches) and from etcd, which takes no object over 1.5 MiB.
#![allow(missing_docs)]

mod alloc;
mod gateways;
mod pipeline;
mod references;
mod routes;
mod world;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
