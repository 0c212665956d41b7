//! One side of the machine: users or movies, with the features that describe them.

use jhalak_nn::Random;

/// Shape and rate of the Gamma prior of each precision.
const PRIOR: (f64, f64) = (1.0, 0.02);

/// The features of one side's entities, by column.
#[derive(Debug)]
pub struct Features {
    /// For each entity: whether it has a known pair. Others keep no term of their own.
    pub known: Vec<bool>,
    /// Sparse columns: the entities that have the feature, and its value.
    pub sparse: Vec<Vec<(u32, f64)>>,
    /// Dense columns: a value for each entity.
    pub dense: Vec<Vec<f64>>,
}

/// One dimension of one side: the weight of each feature and the sum for each entity.
#[derive(Clone, Debug)]
pub struct Dimension {
    own: Vec<f64>,
    sparse: Vec<f64>,
    dense: Vec<f64>,
    precisions: [f64; 3],
    /// For each entity: its own term plus those of its features.
    pub sums: Vec<f64>,
}

impl Dimension {
    /// Draws starting values of this standard deviation.
    pub fn new(features: &Features, spread: f64, random: &mut Random) -> Self {
        let mut draw = |known: bool| if known { spread * f64::from(random.normal()) } else { 0.0 };
        let own: Vec<f64> = features.known.iter().map(|&known| draw(known)).collect();
        let (sparse, dense) = (vec![0.0; features.sparse.len()], vec![0.0; features.dense.len()]);
        Self { sums: own.clone(), own, sparse, dense, precisions: [10.0; 3] }
    }

    /// Draws every weight given the others. For each entity, `squares` is the sum of the squared
    /// values that its sum is multiplied with over its pairs, and `products` the sum of those
    /// values times the residuals. Both are given, so a draw costs no pass over the pairs.
    pub fn draw(&mut self, features: &Features, squares: &[f64], products: &mut [f64], random: &mut Random) {
        let normal =
            |random: &mut Random, mean: f64, precision: f64| mean + f64::from(random.normal()) / precision.sqrt();
        let [own, sparse, dense] = self.precisions;
        for (entity, weight) in self.own.iter_mut().enumerate().filter(|(entity, _)| features.known[*entity]) {
            let precision = own + squares[entity];
            let next = normal(random, (products[entity] + squares[entity] * *weight) / precision, precision);
            products[entity] -= squares[entity] * (next - *weight);
            self.sums[entity] += next - *weight;
            *weight = next;
        }
        for (column, weight) in features.sparse.iter().zip(&mut self.sparse) {
            let (mut precision, mut mean) = (sparse, 0.0);
            for &(entity, x) in column {
                let entity = entity as usize;
                precision += x * x * squares[entity];
                mean += x * (products[entity] + squares[entity] * x * *weight);
            }
            let next = normal(random, mean / precision, precision);
            for &(entity, x) in column {
                let change = x * (next - *weight);
                products[entity as usize] -= squares[entity as usize] * change;
                self.sums[entity as usize] += change;
            }
            *weight = next;
        }
        for (column, weight) in features.dense.iter().zip(&mut self.dense) {
            let (mut precision, mut mean) = (dense, 0.0);
            for ((x, squares), products) in column.iter().zip(squares).zip(&*products) {
                precision += x * x * squares;
                mean += x * (products + squares * x * *weight);
            }
            let next = normal(random, mean / precision, precision);
            let change = next - *weight;
            for (((x, squares), products), sum) in column.iter().zip(squares).zip(&mut *products).zip(&mut self.sums) {
                *products -= squares * x * change;
                *sum += x * change;
            }
            *weight = next;
        }
        let known = features.known.iter().filter(|known| **known).count();
        let blocks = [(&self.own, known), (&self.sparse, self.sparse.len()), (&self.dense, self.dense.len())];
        for (precision, (weights, count)) in self.precisions.iter_mut().zip(blocks) {
            let shape = PRIOR.0 + 0.5 * count as f64;
            let rate = PRIOR.1 + 0.5 * weights.iter().map(|w| w * w).sum::<f64>();
            *precision = gamma(shape, random) / rate;
        }
    }
}

/// Draws from the Gamma distribution with a shape of at least 1 and rate 1 (Marsaglia and Tsang
/// 2000).
fn gamma(shape: f64, random: &mut Random) -> f64 {
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = f64::from(random.normal());
        let v = (1.0 + c * x).powi(3);
        let u = 1.0 - f64::from(random.uniform(0.0, 1.0));
        if v > 0.0 && u.ln() < 0.5 * x * x + d * (1.0 - v + v.ln()) {
            return d * v;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jhalak_nn::seeded;

    #[test]
    fn gamma_draws_have_their_mean_and_variance() {
        let random = &mut seeded(1, 0);
        let drawn: Vec<f64> = (0..20_000).map(|_| gamma(3.0, random)).collect();
        let mean = drawn.iter().sum::<f64>() / 20_000.0;
        let variance = drawn.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 20_000.0;
        assert!((mean - 3.0).abs() < 0.05 && (variance - 3.0).abs() < 0.2, "{mean} {variance}");
    }
}
