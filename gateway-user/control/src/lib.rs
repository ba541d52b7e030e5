//! The config road's ends: sources, store, publish, status.
#![forbid(unsafe_code)]
