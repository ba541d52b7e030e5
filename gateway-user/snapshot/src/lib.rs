//! Compiles the intermediate representation into the tables workers look requests up in.
#![forbid(unsafe_code)]
