//! Finds out by running code how the compiler compiled the crate that the frame module is part of.

mod evidence;

use crate::report;
use core::fmt;
use core::hint::black_box;

/// Whether debug assertions fire, whether overflow traps, whether the code was optimized.
pub fn witnessed() -> [bool; 3] {
    let assertions = report::panics_in(|| evidence::codegen_assertion(black_box(0)));
    let overflow = report::panics_in(|| {
        black_box(evidence::codegen_overflow(black_box(u64::MAX)));
    });
    let optimized = evidence::codegen_recursion(black_box(0)) == evidence::codegen_recursion(black_box(DEPTH));
    [assertions, overflow, optimized]
}

/// The number of calls that an optimizer turns into a loop.
const DEPTH: u64 = 8;

/// Displays the CPU features that the compiler might use and should not, such as `sse2,avx`, or `none`.
pub fn features() -> impl fmt::Display {
    Features
}

struct Features;

macro_rules! table {
    ($($name:tt)*) => { [$(($name, cfg!(target_feature = $name))),*] };
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = table!(
            "sse" "sse2" "sse3" "ssse3" "sse4.1" "sse4.2" "sse4a" "avx" "avx2" "avx512f" "fma" "f16c" "aes" "sha"
            "pclmulqdq" "popcnt" "lzcnt" "bmi1" "bmi2" "adx" "movbe" "cmpxchg16b" "tbm" "rdrand" "rdseed" "xsave"
        );
        let mut found = table.iter().filter(|(_, there)| *there).map(|(name, _)| name);
        let Some(first) = found.next() else {
            return f.write_str("none");
        };
        f.write_str(first)?;
        found.try_for_each(|name| write!(f, ",{name}"))
    }
}
