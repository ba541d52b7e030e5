//! The I/O fence: alone in naming monoio and tokio-uring; owns and lends buffers.
//!
//! A worker is a thread that calls [`run`]. In it, [`Listener::accept`] gives [`Stream`]s, whose halves
//! receive into and send from [`Chunk`]s of the worker's pool. One promise holds everywhere: **an operation
//! belongs to the stream or listener, not to the future that waits for it**, so every future of this crate
//! may be dropped, raced and given a time limit without losing data or descriptors. The runtimes below do not
//! promise that; nothing of theirs is visible here.
//!
//! Operations are driven by io_uring or epoll ([`probe`] says which works); the code above sees
//! no difference.

mod buffer;
mod chunk;
pub mod confine;
mod cpu;
mod datagram;
mod driver;
pub mod file;
mod kernel;
mod listener;
mod mailbox;
mod placed;
mod pool;
mod runtime;
mod slabs;
mod stream;
mod task;
mod time;
mod timers;

pub use chunk::{Chunk, ChunkFull};
pub use cpu::{pin_to_cpu, usable_cpus};
pub use datagram::{
    Batch, Interest, Ready, ReadySet, Sent, connected, prepare_datagrams, socket_cookie, stop_receiving,
};
pub use driver::{Driver, IoMode, Probe, ProbeError, probe};
pub use listener::{Accept, Accepted, Listener, ListenerHandle, is_out_of_descriptors};
pub use mailbox::{MailReceiver, MailSender, Next, mailbox};
pub use placed::{Placed, place};
pub use pool::{
    BufferLevel, DEFAULT_CHUNK_SIZE, DEFAULT_IDLE_BUFFERS, HEADROOM, PoolStats, buffer_level,
    give_back_free_memory, pool_stats, trim_pool,
};
pub use runtime::{RuntimeOptions, run};
pub use stream::{
    Flush, Layer, Opened, PIPES_MAX, Pipe, Recv, RecvHalf, RecvUnlessQuiet, SendAll, SendHalf, Spliced,
    Stream, connect,
};
pub use task::{live_tasks, spawn};
pub use time::{AssertCancelSafe, CancelSafe, Either, now, pause, race, sleep, with_deadline};
