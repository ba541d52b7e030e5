//! The flows of a UDP listener: whatever datagrams come from either side, the table holds those that it should, within its limits,
//! and the right ones give way.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| sluice_fuzz::flows::play(bytes));
