//! Runs an element-wise loop compiled for AVX2 where the machine has it.
//!
//! Both versions are the same source without fused multiply-add, so they round alike: the answer does not depend on the machine.

/// Defines a module `$name` with `portable(...)`, compiled for the target's baseline, and `run(...)`, which takes the version
/// compiled for AVX2 where the processor has it.
#[macro_export]
macro_rules! dispatched {
    ($(#[$doc:meta])* $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $answer:ty)? $body:block) => {
        $(#[$doc])*
        mod $name {
            /// The loop itself, for any processor; inlined, so that it is compiled anew inside the AVX2 version.
            #[inline(always)]
            pub(super) fn portable($($arg: $ty),*) $(-> $answer)? $body

            /// The loop itself, for this processor.
            pub(super) fn run($($arg: $ty),*) $(-> $answer)? {
                #[cfg(target_arch = "x86_64")]
                {
                    #[target_feature(enable = "avx2")]
                    fn avx2($($arg: $ty),*) $(-> $answer)? { portable($($arg),*) }
                    if std::arch::is_x86_feature_detected!("avx2") {
                        #[expect(unsafe_code, reason = "code compiled for AVX2 may run only where AVX2 is")]
                        // SAFETY: the processor has just said that it has AVX2.
                        return unsafe { avx2($($arg),*) };
                    }
                }
                portable($($arg),*)
            }
        }
    };
}
