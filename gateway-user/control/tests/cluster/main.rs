//! What is written into a cluster: object by object, by one leader, whatever the server does.

mod changes;
mod json_patch;
mod leading;
mod server;
mod writing;
