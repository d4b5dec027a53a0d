//! Loops that run over every byte of a corpus a hundred times, compiled for what the machine can do.
//!
//! The only `unsafe` of this crate is the call of a function that was compiled for a feature of the CPU, after asking for
//! that feature. All of it is integer arithmetic: the numbers are the same on every machine.

#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "calls of functions that need a CPU feature, after its detection")
)]
#![expect(clippy::inline_always, reason = "a loop is compiled for a feature only where it is inlined")]

mod minima;

pub(crate) use minima::{MODULUS, native, prime};
