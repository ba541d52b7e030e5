//! The byte road: accept, decode, route, filter, forward, answer.
#![forbid(unsafe_code)]
