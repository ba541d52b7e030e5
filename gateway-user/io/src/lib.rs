//! The I/O fence: alone in naming monoio and tokio-uring; owns and lends buffers.
