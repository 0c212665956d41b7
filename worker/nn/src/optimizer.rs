//! RMSprop and Adam with PyTorch's definitions and defaults, applied to one tile of a gradient at a time.

use crate::parameter::Parameter;
use jhalak_common::evaluation::{Optimiser, StepRate};
use jhalak_simd::dispatched;

/// The numbers of one optimiser step, worked out once for all parameters.
#[derive(Clone, Copy, Debug)]
enum Step {
    RmsProp { rate: f32, alpha: f32, eps: f32 },
    Adam { rate: f32, beta1: f32, beta2: f32, root: f32, eps: f32 },
}

/// Takes gradients tile by tile and moves the weights at once, or only records them.
#[derive(Debug)]
pub struct Learner {
    optimiser: Optimiser,
    steps: i32,
    step: Step,
    recording: bool,
    /// Scratch for one tile of a weight gradient; see [`crate::Linear::backward`].
    pub(crate) tile: Vec<f32>,
}

impl Learner {
    /// A learner that has seen no step.
    #[must_use]
    pub fn new(optimiser: Optimiser) -> Self {
        let step = step_of(optimiser, 0, StepRate { rate: 0.0, beta1: None });
        Self { optimiser, steps: 0, step, recording: false, tile: Vec::new() }
    }

    /// A learner that moves no weight and keeps every gradient in its [`Parameter::gradient`].
    #[must_use]
    pub fn recording() -> Self {
        Self { recording: true, ..Self::new(Optimiser::rmsprop()) }
    }

    /// Steps that were begun.
    pub(crate) fn steps(&self) -> i32 {
        self.steps
    }

    /// Goes on after this many steps.
    pub(crate) fn set_steps(&mut self, steps: i32) {
        self.steps = steps;
    }

    /// Starts the next step at this rate; to be called before each backward pass.
    pub fn begin_step(&mut self, rate: StepRate) {
        self.steps = self.steps.saturating_add(1);
        self.step = step_of(self.optimiser, self.steps, rate);
    }

    /// Uses `gradient`, the part of the parameter's gradient that starts at element `start`. Each element comes once a step.
    ///
    /// # Panics
    /// If the part reaches past the parameter.
    pub(crate) fn learn(&mut self, parameter: &mut Parameter, start: usize, gradient: &[f32]) {
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
            Step::RmsProp { rate, alpha, eps } => rmsprop::run(value, square, gradient, rate, alpha, eps),
            Step::Adam { rate, beta1, beta2, root, eps } => {
                parameter.mean.resize(len, 0.0);
                adam::run(value, &mut parameter.mean[part], square, gradient, [rate, beta1, beta2, root, eps]);
            }
        }
    }
}

fn step_of(optimiser: Optimiser, steps: i32, rate: StepRate) -> Step {
    match optimiser {
        Optimiser::RmsProp { alpha, eps } => Step::RmsProp { rate: rate.rate as f32, alpha, eps },
        Optimiser::Adam { beta1, beta2, eps } => {
            let beta1 = rate.beta1.unwrap_or(f64::from(beta1));
            let first = 1.0 - beta1.powi(steps);
            let second = 1.0 - f64::from(beta2).powi(steps);
            Step::Adam { rate: (rate.rate / first) as f32, beta1: beta1 as f32, beta2, root: second.sqrt() as f32, eps }
        }
    }
}

dispatched! {
    /// RMSprop on one stretch of weights.
    rmsprop(value: &mut [f32], square: &mut [f32], gradient: &[f32], rate: f32, alpha: f32, eps: f32) {
        for ((w, v), &g) in value.iter_mut().zip(square).zip(gradient) {
            *v = alpha * *v + (1.0 - alpha) * (g * g);
            *w -= rate * (g / (v.sqrt() + eps));
        }
    }
}

dispatched! {
    /// Adam on one stretch of weights; the constants are rate / (1 - beta1^t), beta1, beta2, sqrt(1 - beta2^t), eps.
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
    fn first_steps_are_what_the_formulas_give() {
        let mut w = Parameter::constant(1, 1.0);
        let mut learner = Learner::new(Optimiser::rmsprop());
        learner.begin_step(rate(0.01));
        learner.learn(&mut w, 0, &[2.0]);
        assert!((w.value[0] - (1.0 - 0.01 * 2.0 / (0.04_f32.sqrt()))).abs() < 1e-6, "{:?}", w.value);

        let mut w = Parameter::constant(1, 1.0);
        let mut learner = Learner::new(Optimiser::adam());
        for _ in 0..3 {
            learner.begin_step(rate(0.01));
            learner.learn(&mut w, 0, &[-3.0]); // a constant gradient moves Adam by the rate each step
        }
        assert!((w.value[0] - 1.03).abs() < 1e-6, "{:?}", w.value);
    }

    #[test]
    fn tiles_and_processors_give_the_same_bits() {
        let mut random = seeded(5, 0);
        let mut draw = || (0..101).map(|_| random.uniform(-1.0, 1.0)).collect::<Vec<f32>>();
        let (start, gradient) = (draw(), draw());
        for optimiser in [Optimiser::rmsprop(), Optimiser::adam()] {
            let mut whole = Parameter { value: start.clone(), ..Parameter::default() };
            let mut parts = whole.clone();
            let mut learner = Learner::new(optimiser);
            for _ in 0..3 {
                learner.begin_step(rate(1e-3));
                learner.learn(&mut whole, 0, &gradient);
                learner.learn(&mut parts, 0, &gradient[..37]);
                learner.learn(&mut parts, 37, &gradient[37..]);
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
    fn a_recording_learner_moves_nothing() {
        let mut w = Parameter::constant(3, 1.0);
        let mut learner = Learner::recording();
        learner.learn(&mut w, 1, &[5.0]);
        assert_eq!(w.value, [1.0; 3]);
        assert_eq!(w.gradient(), [0.0, 5.0, 0.0]);
    }
}
