//! Several models' probabilities as one: their logarithms, weighted, plus a constant a class.

use super::linear::lbfgs::minimise;
use super::linear::softmax::softmax;
use crate::CLASSES;
use serde::{Deserialize, Serialize};

/// Penalty on the distance of the weights from equal ones: members are much alike, and what tells them apart is little.
const PENALTY: f64 = 20.0;
/// Probabilities below this are not believed.
const LEAST: f32 = 1e-4;

/// A fitted stack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stack {
    /// One weight a member.
    pub weights: Vec<f64>,
    /// One constant a class.
    pub constants: [f64; CLASSES],
}

impl Stack {
    /// Fits weights and constants on members' probabilities for rows they were not fitted on: members x rows.
    pub fn fit(members: &[Vec<[f32; CLASSES]>], labels: &[u8]) -> Self {
        let count = members.len();
        let equal = 1.0 / count.max(1) as f64;
        let logs = logarithms(members, labels.len());
        let mut parameters = vec![equal; count];
        parameters.extend([0.0; CLASSES]);
        let curvature = vec![PENALTY + 0.2 * labels.len() as f64; parameters.len()];
        minimise(&mut parameters, &curvature, 200, 1e-9, |p, gradient| {
            let mut loss = 0.0;
            for (i, gradient) in gradient.iter_mut().enumerate() {
                let from = if i < count { equal } else { 0.0 };
                *gradient = PENALTY * (p[i] - from);
                loss += 0.5 * PENALTY * (p[i] - from).powi(2);
            }
            for (row, &label) in logs.chunks_exact(count.max(1)).zip(labels) {
                let mut d = scores(row, &p[..count], &p[count..]);
                let own = d[usize::from(label)];
                loss += softmax(&mut d) - own;
                d[usize::from(label)] -= 1.0;
                for c in 0..CLASSES {
                    gradient[count + c] += d[c];
                    for (m, logs) in row.iter().enumerate() {
                        gradient[m] += d[c] * logs[c];
                    }
                }
            }
            loss
        });
        let constants = std::array::from_fn(|c| parameters[count + c]);
        parameters.truncate(count);
        Self { weights: parameters, constants }
    }

    /// Class probabilities of each row.
    pub fn predict(&self, members: &[Vec<[f32; CLASSES]>], rows: usize) -> Vec<[f32; CLASSES]> {
        let probabilities = |row: &[[f64; CLASSES]]| {
            let mut scores = scores(row, &self.weights, &self.constants);
            softmax(&mut scores);
            scores.map(|p| p as f32)
        };
        logarithms(members, rows).chunks_exact(members.len().max(1)).map(probabilities).collect()
    }
}

/// rows x members.
fn logarithms(members: &[Vec<[f32; CLASSES]>], rows: usize) -> Vec<[f64; CLASSES]> {
    (0..rows)
        .flat_map(|row| members.iter().map(move |member| member[row].map(|p| f64::from(p.max(LEAST)).ln())))
        .collect()
}

fn scores(row: &[[f64; CLASSES]], weights: &[f64], constants: &[f64]) -> [f64; CLASSES] {
    std::array::from_fn(|c| constants[c] + row.iter().zip(weights).map(|(logs, w)| w * logs[c]).sum::<f64>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use jhalak_nn::seeded;

    #[test]
    fn the_member_that_knows_more_weighs_more() {
        let random = &mut seeded(1, 0);
        let (mut good, mut noise, mut labels) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..2000 {
            let label = random.below(3) as u8;
            let mut p = [0.2_f32; 3];
            p[if random.below(10) < 7 { usize::from(label) } else { random.below(3) }] = 0.6;
            good.push(p);
            let mut p = [0.2_f32; 3];
            p[random.below(3)] = 0.6;
            noise.push(p);
            labels.push(label);
        }
        let members = [good, noise];
        let stack = Stack::fit(&members, &labels);
        assert!(stack.weights[0] > 0.8 && stack.weights[1].abs() < 0.1, "{stack:?}");
        assert!(stack.predict(&members, 2000).iter().all(|p| (p.iter().sum::<f32>() - 1.0).abs() < 1e-5));
    }
}
