//! Gateway API semantics: resources in, intermediate representation and status out. Pure.
#![forbid(unsafe_code)]
