//! Minimisation of smooth functions: L-BFGS (Nocedal and Wright, "Numerical Optimization", algorithms 7.4 and 7.5) with a
//! backtracking line search.

use super::dot::dot;
use jhalak_simd::dispatched;
use std::collections::VecDeque;

/// Steps remembered.
const MEMORY: usize = 8;
/// A step is long enough when it brings this share of what the slope promises.
const SUFFICIENT: f64 = 1e-4;
/// Halvings of a step before the search gives up: by then the point is a minimum as far as `f64` can tell.
const HALVINGS: usize = 30;

/// Steps in a row that must bring next to nothing before the walk ends: the first steps are short, and single ones may be.
const PATIENCE: usize = 3;

/// Walks `x` downhill and returns the value reached. `function` writes the gradient and returns the value. `curvature` is roughly the
/// second derivative along each coordinate: the better the guess, the fewer the steps.
///
/// Stops after `iterations`, or when three steps in a row improve the value by less than `tolerance` of it each, or where the slope
/// vanishes. Deterministic.
pub fn minimise(
    x: &mut [f64],
    curvature: &[f64],
    iterations: usize,
    tolerance: f64,
    mut function: impl FnMut(&[f64], &mut [f64]) -> f64,
) -> f64 {
    let mut gradient = vec![0.0; x.len()];
    let mut value = function(x, &mut gradient);
    let mut history: VecDeque<(Vec<f64>, Vec<f64>, f64)> = VecDeque::with_capacity(MEMORY);
    let (mut next, mut next_gradient, mut idle) = (x.to_vec(), gradient.clone(), 0);
    for _ in 0..iterations {
        let mut direction = descending::run(&gradient, curvature, &history);
        let mut slope = dot(&direction, &gradient);
        if slope >= 0.0 {
            history.clear();
            direction = gradient.iter().zip(curvature).map(|(g, c)| -g / c).collect();
            slope = dot(&direction, &gradient);
        }
        if slope == 0.0 || !slope.is_finite() {
            break;
        }
        let mut step = 1.0;
        let mut next_value = f64::INFINITY;
        for _ in 0..HALVINGS {
            for ((next, x), d) in next.iter_mut().zip(&*x).zip(&direction) {
                *next = x + step * d;
            }
            next_value = function(&next, &mut next_gradient);
            if next_value <= value + SUFFICIENT * step * slope {
                break;
            }
            step /= 2.0;
        }
        if next_value.is_nan() || next_value >= value {
            break;
        }
        let moved: Vec<f64> = next.iter().zip(&*x).map(|(a, b)| a - b).collect();
        let turned: Vec<f64> = next_gradient.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        let bend = dot(&moved, &turned);
        if bend > 1e-12 * dot(&turned, &turned) {
            if history.len() == MEMORY {
                history.pop_front();
            }
            history.push_back((moved, turned, 1.0 / bend));
        }
        let gained = value - next_value;
        x.copy_from_slice(&next);
        std::mem::swap(&mut gradient, &mut next_gradient);
        value = next_value;
        idle = if gained <= tolerance * value.abs() { idle + 1 } else { 0 };
        if idle == PATIENCE {
            break;
        }
    }
    value
}

dispatched! {
    /// [`descent`](super::descent) over long vectors.
    descending(
        gradient: &[f64],
        curvature: &[f64],
        history: &std::collections::VecDeque<(Vec<f64>, Vec<f64>, f64)>,
    ) -> Vec<f64> {
        super::descent(gradient, curvature, history)
    }
}

/// The two-loop recursion: minus the inverse curvature, as the remembered steps show it, times the gradient.
#[inline(always)]
fn descent(gradient: &[f64], curvature: &[f64], history: &VecDeque<(Vec<f64>, Vec<f64>, f64)>) -> Vec<f64> {
    let mut q = gradient.to_vec();
    let mut alphas = Vec::with_capacity(history.len());
    for (moved, turned, rho) in history.iter().rev() {
        let alpha = rho * dot(moved, &q);
        q.iter_mut().zip(turned).for_each(|(q, y)| *q -= alpha * y);
        alphas.push(alpha);
    }
    q.iter_mut().zip(curvature).for_each(|(q, c)| *q /= c);
    if let Some((_, turned, rho)) = history.back() {
        let scale = 1.0 / (rho * turned.iter().zip(curvature).map(|(y, c)| y * y / c).sum::<f64>());
        q.iter_mut().for_each(|q| *q *= scale);
    }
    for ((moved, turned, rho), alpha) in history.iter().zip(alphas.iter().rev()) {
        let beta = rho * dot(turned, &q);
        q.iter_mut().zip(moved).for_each(|(q, s)| *q += (alpha - beta) * s);
    }
    q.iter_mut().for_each(|q| *q = -*q);
    q
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_finds_the_bottom_of_a_curved_valley() {
        let mut x = [-1.2, 1.0];
        let rosenbrock = |x: &[f64], g: &mut [f64]| {
            let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
            g[0] = -2.0 * a - 400.0 * x[0] * b;
            g[1] = 200.0 * b;
            a * a + 100.0 * b * b
        };
        assert!(minimise(&mut x, &[1.0, 10.0], 200, 0.0, rosenbrock) < 1e-12);
        assert!((x[0] - 1.0).abs() < 1e-5 && (x[1] - 1.0).abs() < 1e-5, "{x:?}");
    }

    #[test]
    fn a_function_that_turns_into_nan_is_left_where_it_was_best() {
        let mut x = [1.0];
        let broken = |x: &[f64], g: &mut [f64]| {
            g[0] = 1.0;
            if x[0] < 1.0 { f64::NAN } else { x[0] }
        };
        assert_eq!(minimise(&mut x, &[1.0], 10, 0.0, broken), 1.0);
        assert_eq!(x, [1.0]);
    }
}
