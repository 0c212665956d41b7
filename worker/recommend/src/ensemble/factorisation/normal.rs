//! The standard normal distribution in double precision.

/// Density at 0: 1 / sqrt(2 pi).
const PEAK: f64 = 0.398_942_280_401_432_7;

/// Returns the density.
pub fn density(x: f64) -> f64 {
    PEAK * (-0.5 * x * x).exp()
}

/// Returns the cumulative probability, within 1e-7 of it (Abramowitz and Stegun 26.2.17).
#[inline]
pub fn cumulative(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * x.abs());
    let polynomial =
        t * (0.319_381_530 + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    let upper = density(x) * polynomial;
    if x > 0.0 { 1.0 - upper } else { upper }
}

/// Returns the value with this cumulative probability in (0, 1), within a relative error of 2e-9
/// (Acklam's rational approximation).
pub fn quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 5] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 4] =
        [7.784_695_709_041_462e-3, 3.224_671_290_700_398e-1, 2.445_134_137_142_996, 3.754_408_661_907_416];
    /// Below this probability, and above 1 minus it, the tail's approximation holds.
    const TAIL: f64 = 0.02425;
    let horner = |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    let tail = |q: f64| horner(&C, q) / (horner(&D, q) * q + 1.0);
    if p < TAIL {
        tail((-2.0 * p.ln()).sqrt())
    } else if p > 1.0 - TAIL {
        -tail((-2.0 * (1.0 - p).ln()).sqrt())
    } else {
        let q = p - 0.5;
        let r = q * q;
        horner(&A, r) * q / (horner(&B, r) * r + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_are_met_and_the_quantile_inverts() {
        for (x, p) in [(0.0, 0.5), (1.0, 0.841_344_746), (-1.959_963_985, 0.025), (3.0, 0.998_650_102)] {
            assert!((cumulative(x) - p).abs() < 1e-7, "{x}: {}", cumulative(x));
            assert!((quantile(p) - x).abs() < 1e-6, "{p}: {}", quantile(p));
        }
        for i in 1..200 {
            let p = f64::from(i) / 200.0;
            assert!((cumulative(quantile(p)) - p).abs() < 2e-7);
        }
    }
}
