//! RMSprop and Adam with PyTorch's definitions and defaults, applied to one gradient tile at a
//! time.

use crate::parameter::Parameter;
use jhalak_common::evaluation::{Optimiser, StepRate};
use jhalak_simd::dispatched;

/// The constants of one optimizer step, computed once for all parameters.
#[derive(Clone, Copy, Debug)]
enum StepConstants {
    RmsProp { rate: f32, alpha: f32, eps: f32 },
    Adam { rate: f32, beta1: f32, beta2: f32, root: f32, eps: f32 },
}

/// The optimizer: receives gradients tile by tile and updates the weights at once, or only records
/// the gradients. The running means are in each [`Parameter`].
#[derive(Debug)]
pub struct OptimizerState {
    optimiser: Optimiser,
    steps: i32,
    step: StepConstants,
    recording: bool,
    /// Scratch for one tile of a weight gradient; see [`crate::Linear::backward`].
    pub(crate) tile: Vec<f32>,
}

impl OptimizerState {
    /// Creates an optimizer before its first step.
    #[must_use]
    pub fn new(optimiser: Optimiser) -> Self {
        let step = step_constants(optimiser, 0, StepRate { rate: 0.0, beta1: None });
        Self { optimiser, steps: 0, step, recording: false, tile: Vec::new() }
    }

    /// Creates an optimizer that updates no weight and keeps each gradient in its
    /// [`Parameter::gradient`].
    #[must_use]
    pub fn recording() -> Self {
        Self { recording: true, ..Self::new(Optimiser::rmsprop()) }
    }

    /// Returns the number of started steps.
    pub(crate) fn steps(&self) -> i32 {
        self.steps
    }

    /// Continues after `steps` steps.
    pub(crate) fn set_steps(&mut self, steps: i32) {
        self.steps = steps;
    }

    /// Starts the next step at `rate`. Call it before each backward pass.
    pub fn begin_step(&mut self, rate: StepRate) {
        self.steps = self.steps.saturating_add(1);
        self.step = step_constants(self.optimiser, self.steps, rate);
    }

    /// Applies `gradient`, the part of the parameter's gradient that starts at element `start`.
    /// Each element must be passed once per step.
    ///
    /// # Panics
    /// If the part exceeds the parameter.
    pub(crate) fn update(&mut self, parameter: &mut Parameter, start: usize, gradient: &[f32]) {
        let len = parameter.value.len();
        let part = start..start + gradient.len();
        if self.recording {
            parameter.gradient.resize(len, 0.0);
            parameter.gradient[part].copy_from_slice(gradient);
            return;
        }
        parameter.square.resize(len, 0.0);
        let (value, square) = (&mut parameter.value[part.clone()], &mut parameter.square[part.clone()]);
        match self.step {
            StepConstants::RmsProp { rate, alpha, eps } => rmsprop::run(value, square, gradient, rate, alpha, eps),
            StepConstants::Adam { rate, beta1, beta2, root, eps } => {
                parameter.mean.resize(len, 0.0);
                adam::run(value, &mut parameter.mean[part], square, gradient, [rate, beta1, beta2, root, eps]);
            }
        }
    }
}

fn step_constants(optimiser: Optimiser, steps: i32, rate: StepRate) -> StepConstants {
    match optimiser {
        Optimiser::RmsProp { alpha, eps } => StepConstants::RmsProp { rate: rate.rate as f32, alpha, eps },
        Optimiser::Adam { beta1, beta2, eps } => {
            let beta1 = rate.beta1.unwrap_or(f64::from(beta1));
            let first = 1.0 - beta1.powi(steps);
            let second = 1.0 - f64::from(beta2).powi(steps);
            StepConstants::Adam {
                rate: (rate.rate / first) as f32,
                beta1: beta1 as f32,
                beta2,
                root: second.sqrt() as f32,
                eps,
            }
        }
    }
}

dispatched! {
    /// RMSprop on a range of weights.
    rmsprop(value: &mut [f32], square: &mut [f32], gradient: &[f32], rate: f32, alpha: f32, eps: f32) {
        for ((w, v), &g) in value.iter_mut().zip(square).zip(gradient) {
            *v = alpha * *v + (1.0 - alpha) * (g * g);
            *w -= rate * (g / (v.sqrt() + eps));
        }
    }
}

dispatched! {
    /// Adam on a range of weights; the constants are rate / (1 - beta1^t), beta1, beta2, sqrt(1 -
    /// beta2^t), eps.
    adam(value: &mut [f32], mean: &mut [f32], square: &mut [f32], gradient: &[f32], constants: [f32; 5]) {
        let [rate, beta1, beta2, root, eps] = constants;
        for (((w, m), v), &g) in value.iter_mut().zip(mean).zip(square).zip(gradient) {
            *m += (g - *m) * (1.0 - beta1);
            *v = beta2 * *v + (1.0 - beta2) * (g * g);
            *w -= rate * (*m / (v.sqrt() / root + eps));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeded;

    fn rate(rate: f64) -> StepRate {
        StepRate { rate, beta1: None }
    }

    #[test]
    fn first_steps_match_the_formulas() {
        let mut w = Parameter::constant(1, 1.0);
        let mut optimizer = OptimizerState::new(Optimiser::rmsprop());
        optimizer.begin_step(rate(0.01));
        optimizer.update(&mut w, 0, &[2.0]);
        assert!((w.value[0] - (1.0 - 0.01 * 2.0 / (0.04_f32.sqrt()))).abs() < 1e-6, "{:?}", w.value);

        let mut w = Parameter::constant(1, 1.0);
        let mut optimizer = OptimizerState::new(Optimiser::adam());
        for _ in 0..3 {
            optimizer.begin_step(rate(0.01));
            optimizer.update(&mut w, 0, &[-3.0]); // a constant gradient moves Adam by the rate each step
        }
        assert!((w.value[0] - 1.03).abs() < 1e-6, "{:?}", w.value);
    }

    #[test]
    fn tiles_and_simd_versions_give_the_same_bits() {
        let mut random = seeded(5, 0);
        let mut draw = || (0..101).map(|_| random.uniform(-1.0, 1.0)).collect::<Vec<f32>>();
        let (start, gradient) = (draw(), draw());
        for optimiser in [Optimiser::rmsprop(), Optimiser::adam()] {
            let mut whole = Parameter { value: start.clone(), ..Parameter::default() };
            let mut parts = whole.clone();
            let mut optimizer = OptimizerState::new(optimiser);
            for _ in 0..3 {
                optimizer.begin_step(rate(1e-3));
                optimizer.update(&mut whole, 0, &gradient);
                optimizer.update(&mut parts, 0, &gradient[..37]);
                optimizer.update(&mut parts, 37, &gradient[37..]);
            }
            assert_eq!(whole.value, parts.value);
        }
        let (mut a, mut b) = (start.clone(), start);
        let (mut va, mut vb) = (vec![0.1; 101], vec![0.1; 101]);
        rmsprop::run(&mut a, &mut va, &gradient, 1e-3, 0.99, 1e-8);
        rmsprop::portable(&mut b, &mut vb, &gradient, 1e-3, 0.99, 1e-8);
        assert_eq!((&a, &va), (&b, &vb));
        let (mut ma, mut mb) = (vec![0.2; 101], vec![0.2; 101]);
        adam::run(&mut a, &mut ma, &mut va, &gradient, [1e-3, 0.9, 0.999, 0.5, 1e-8]);
        adam::portable(&mut b, &mut mb, &mut vb, &gradient, [1e-3, 0.9, 0.999, 0.5, 1e-8]);
        assert_eq!((a, ma, va), (b, mb, vb));
    }

    #[test]
    fn a_recording_optimizer_updates_no_weight() {
        let mut w = Parameter::constant(3, 1.0);
        let mut optimizer = OptimizerState::recording();
        optimizer.update(&mut w, 1, &[5.0]);
        assert_eq!(w.value, [1.0; 3]);
        assert_eq!(w.gradient(), [0.0, 5.0, 0.0]);
    }
}
