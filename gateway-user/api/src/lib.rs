//! Gateway API v1.7.0 types, the CRD schemas, and the loader that checks YAML against them.
#![forbid(unsafe_code)]
