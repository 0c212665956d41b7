//! Activations, in place.

use jhalak_simd::dispatched;
use serde::{Deserialize, Serialize};

/// A function applied to every element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// max(x, 0).
    Relu,
    /// tanh x.
    Tanh,
    /// 1 / (1 + e^-x).
    Sigmoid,
}

impl Activation {
    /// Applies the function to every element.
    pub fn forward(self, x: &mut [f32]) {
        match self {
            Self::Relu => x.iter_mut().for_each(|x| *x = x.max(0.0)),
            Self::Tanh => tanh::run(x),
            Self::Sigmoid => x.iter_mut().for_each(|x| *x = sigmoid(*x)),
        }
    }

    /// Multiplies `dy` by the derivative, which for all three functions follows from the output
    /// `y`.
    pub fn backward(self, y: &[f32], dy: &mut [f32]) {
        match self {
            Self::Relu => dy.iter_mut().zip(y).for_each(|(dy, y)| *dy = if *y > 0.0 { *dy } else { 0.0 }),
            Self::Tanh => dy.iter_mut().zip(y).for_each(|(dy, y)| *dy *= 1.0 - y * y),
            Self::Sigmoid => dy.iter_mut().zip(y).for_each(|(dy, y)| *dy *= y * (1.0 - y)),
        }
    }
}

/// 1 / (1 + e^-x), without overflow.
#[inline]
pub(crate) fn sigmoid(x: f32) -> f32 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}

/// Replaces each row of `classes` logits with probabilities (softmax).
pub fn softmax_rows(logits: &mut [f32], classes: usize) {
    for row in logits.chunks_exact_mut(classes.max(1)) {
        let highest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        row.iter_mut().for_each(|x| *x = (*x - highest).exp());
        let sum: f32 = row.iter().sum();
        row.iter_mut().for_each(|x| *x /= sum);
    }
}

/// Replaces each logit with its probability (sigmoid).
pub fn sigmoid_rows(logits: &mut [f32]) {
    logits.iter_mut().for_each(|x| *x = sigmoid(*x));
}

dispatched! {
    /// tanh of every element in place, within 2e-7 of the exact value, branch-free so that the
    /// compiler can vectorize it.
    ///
    /// tanh |x| = (1 - e) / (1 + e) with e = exp(-2 |x|), computed as 2^-k times a polynomial in
    /// the remainder; near 0, where this form cancels, the series of tanh.
    tanh(x: &mut [f32]) {
        /// Adding and subtracting this rounds to an integer.
        const ROUND: f32 = 12_582_912.0;
        for x in x {
            let y = (2.0 * x.abs()).min(30.0);
            let k = (y * std::f32::consts::LOG2_E + ROUND) - ROUND;
            let r = k * std::f32::consts::LN_2 - y; // within half of ln 2
            let series = 1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0 + r * (1.0 / 5040.0)));
            let exp = 1.0 + r * (1.0 + r * (0.5 + r * (1.0 / 6.0 + r * series)));
            let e = exp * f32::from_bits(((127.0 - k) as u32) << 23);
            let far = ((1.0 - e) / (1.0 + e)).copysign(*x);
            let s = *x * *x;
            let near = *x + *x * s * (-1.0 / 3.0 + s * (2.0 / 15.0 + s * (-17.0 / 315.0 + s * (62.0 / 2835.0))));
            let value = if x.abs() < 0.25 { near } else { far };
            *x = if x.is_nan() { *x } else { value };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tanh_is_within_2e_7_of_the_exact_value_in_both_simd_versions() {
        let xs: Vec<f32> =
            (-120_000..=120_000).map(|i| i as f32 * 1e-4).chain([30.0, -30.0, 1e30, f32::INFINITY]).collect();
        let (mut here, mut anywhere) = (xs.clone(), xs.clone());
        tanh::run(&mut here);
        tanh::portable(&mut anywhere);
        assert_eq!(here, anywhere);
        for (x, y) in xs.iter().zip(here) {
            let exact = f64::from(*x).tanh();
            assert!((f64::from(y) - exact).abs() < 2e-7, "tanh {x}: {y} for {exact}");
        }
        let mut odd = [f32::NAN, 0.0, -0.0, 1e-30];
        tanh::run(&mut odd);
        assert!(odd[0].is_nan(), "NaN must stay visible");
        assert_eq!(odd[1..], [0.0, -0.0, 1e-30]);
    }
}
