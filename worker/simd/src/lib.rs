//! Dispatch of element-wise loops to AVX2 at run time.
//!
//! [`dispatched!`] compiles one loop twice, for the baseline of the target and for AVX2, and picks
//! the version at each call. Both versions are the same source without fused multiply-add, so they
//! round alike: the result does not depend on the machine.
//!
//! Never holds intrinsics, never changes a result, never depends on another crate of the workspace.
//!
//! Start reading in [`dispatched!`]; `tanh` in `jhalak-nn` is a typical use.

/// Defines a module `$name` with `portable(...)`, compiled for the baseline of the target, and
/// `run(...)`, which uses the AVX2 version where the processor has AVX2.
#[macro_export]
macro_rules! dispatched {
    ($(#[$doc:meta])* $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $answer:ty)? $body:block) => {
        $(#[$doc])*
        mod $name {
            /// The loop for any processor; inlined, so that it is compiled again inside the AVX2
            /// version.
            #[inline(always)]
            pub(super) fn portable($($arg: $ty),*) $(-> $answer)? $body

            /// The loop, in the version for this processor.
            pub(super) fn run($($arg: $ty),*) $(-> $answer)? {
                #[cfg(target_arch = "x86_64")]
                {
                    #[target_feature(enable = "avx2")]
                    fn avx2($($arg: $ty),*) $(-> $answer)? { portable($($arg),*) }
                    if std::arch::is_x86_feature_detected!("avx2") {
                        #[expect(unsafe_code, reason = "code compiled for AVX2 may run only where AVX2 is present")]
                        // SAFETY: the line above detected AVX2 on this processor.
                        return unsafe { avx2($($arg),*) };
                    }
                }
                portable($($arg),*)
            }
        }
    };
}
