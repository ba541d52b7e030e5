//! Loads the kernel programs, owns their maps, applies steering plans, reads counters.
