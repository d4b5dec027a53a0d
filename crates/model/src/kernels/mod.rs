//! Fused kernels over slices: the only place in this crate with `unsafe` code.
//!
//! Two rules make the bits of a result independent of the number of threads: work is cut into chunks of fixed size, and
//! partial sums of chunks are added in the order of the chunks. Kernels use no fused multiply-add, so that every
//! instruction set gives the same bits; only the matrix products of the `gemm` crate differ between processors.
#![expect(
    unsafe_code,
    reason = "calls into gemm, and functions compiled for an instruction set found at run time"
)]

pub mod attention;
pub mod embedding;
pub mod linear;
pub mod loss;
mod math;
mod matrix;
pub mod norm;
pub mod optimizer;
pub mod pointwise;
pub mod rms_norm;
pub mod rotary;

/// Instruction sets for which every kernel is compiled.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// What every processor of the architecture has.
    Portable,
    /// 256-bit vectors.
    Avx2,
    /// 512-bit vectors.
    Avx512,
}

/// The best level of this processor. The standard library caches the detection.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) fn level() -> Level {
    if is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512bw")
    {
        Level::Avx512
    } else if is_x86_feature_detected!("avx2") {
        Level::Avx2
    } else {
        Level::Portable
    }
}

/// Names the instruction set that matrix products use here. Bits are equal only between machines of equal level.
pub fn instruction_set() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    match level() {
        Level::Avx512 => "x86-64/avx512",
        Level::Avx2 if is_x86_feature_detected!("fma") => "x86-64/avx2+fma",
        Level::Avx2 => "x86-64/avx2",
        Level::Portable => "x86-64",
    }
    #[cfg(not(target_arch = "x86_64"))]
    std::env::consts::ARCH
}

/// Compiles each function once per instruction set and picks one when called. Bodies are plain loops: the compiler
/// vectorises them for each set.
macro_rules! vectorised {
    ($($(#[$meta:meta])* $visibility:vis fn $name:ident($($argument:ident: $kind:ty),* $(,)?) $(-> $result:ty)? $body:block)*) => {$(
        $(#[$meta])*
        $visibility fn $name($($argument: $kind),*) $(-> $result)? {
            #[inline(always)]
            fn portable($($argument: $kind),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw")]
                fn avx512($($argument: $kind),*) $(-> $result)? {
                    portable($($argument),*)
                }
                #[target_feature(enable = "avx2")]
                fn avx2($($argument: $kind),*) $(-> $result)? {
                    portable($($argument),*)
                }
                match $crate::kernels::level() {
                    // SAFETY: `level` found these features on this processor.
                    $crate::kernels::Level::Avx512 => return unsafe { avx512($($argument),*) },
                    // SAFETY: as above.
                    $crate::kernels::Level::Avx2 => return unsafe { avx2($($argument),*) },
                    $crate::kernels::Level::Portable => {}
                }
            }
            portable($($argument),*)
        }
    )*};
}
pub(crate) use vectorised;
