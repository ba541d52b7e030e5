//! Settings of the process: flags fix the process, resources fix the routing.
//!
//! Every setting is one row of [`table`]: its flag, its environment variable, its key in the `--config` file,
//! its default, unit, help and documentation all come out of that row. A flag wins over the environment, that
//! over the file, that over the default; all bad settings are reported together.

mod args;
mod docs;
mod file;
mod resolve;
mod table;
mod value;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use args::{Admin, All, Meaning, Places, Rights, SettingFlags};
pub(crate) use resolve::{Effective, Inputs, Resolved, SettingError, resolve};
pub(crate) use table::{Setting, Settings, TABLE};
pub(crate) use value::{
    AccessLog, AddressMode, AfterTakeOver, Auto, Capabilities, Controller, Count, Cpus, EncodedSeparators,
    IoMode, LastGood, Limit, Listen, MergeSlashes, NodeEndpoints, NodeReports, ObjectName, OptionalPath,
    Ownership, ReasonHeader, RequestTrailers, Seccomp, StateDir, SteeringMode, TakeOver, UnderscoreHeaders,
    UnfinishedWrites, User, Value, Wait, bytes_text,
};
