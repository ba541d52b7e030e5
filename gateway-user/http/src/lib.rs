//! HTTP/1.1 as state machines: bytes in, events out, no sockets.
#![forbid(unsafe_code)]
