//! What tests share: network namespaces, scratch directories, child processes, raw clients.
#![forbid(unsafe_code)]
