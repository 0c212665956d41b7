//! Gradient boosting of histogram trees for several classes: each round grows one tree for each
//! class on the derivatives of the softmax (Friedman 2001; histograms, leaf-wise growth and sibling
//! subtraction as in LightGBM).

use super::bins::{Bins, Cuts};
use super::tree::Tree;
use crate::CLASSES;
use crate::ensemble::linear::softmax::softmax;
use crate::ensemble::matrix::Matrix;
use crate::ensemble::settings::BoostingSettings;
use jhalak_nn::{Random, shuffle};
use serde::{Deserialize, Serialize};

/// Lower bound of second derivatives, which keeps leaf values finite.
const LEAST_HESSIAN: f64 = 1e-6;

/// Rounds without a lower held-out loss after which boosting stops.
const PATIENCE: usize = 40;

/// Fitted boosted trees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Boosting {
    cuts: Cuts,
    start: [f64; CLASSES],
    /// Rounds x classes.
    trees: Vec<[Tree; CLASSES]>,
}

/// The log loss of held-out rows after each round.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LossCurve {
    /// Sum of the losses.
    pub losses: Vec<f64>,
}

impl LossCurve {
    /// Adds the losses of other rows. The shorter curve is extended with its last value.
    pub fn add(&mut self, other: &LossCurve) {
        let rounds = self.losses.len().max(other.losses.len());
        let at = |losses: &[f64], round: usize| losses.get(round).or(losses.last()).copied().unwrap_or(0.0);
        self.losses = (0..rounds).map(|round| at(&self.losses, round) + at(&other.losses, round)).collect();
    }

    /// Returns the number of rounds with the lowest loss; 0 without any.
    pub fn best(&self) -> usize {
        (0..self.losses.len()).min_by(|&a, &b| self.losses[a].total_cmp(&self.losses[b])).map_or(0, |round| round + 1)
    }
}

impl Boosting {
    /// Grows at most `settings.rounds` rounds on labelled rows. The loss of the rows `held` is
    /// recorded after each round.
    pub fn fit(
        matrix: &Matrix,
        labels: &[u8],
        settings: &BoostingSettings,
        held: Option<(&Matrix, &[u8])>,
        random: &mut Random,
    ) -> (Self, LossCurve) {
        let cuts = Cuts::of(matrix);
        let bins = cuts.bin(matrix);
        let held = held.map(|(matrix, labels)| (cuts.bin(matrix), labels));
        let mut counts = [1.0; CLASSES];
        labels.iter().for_each(|&label| counts[usize::from(label)] += 1.0);
        let start = counts.map(|n: f64| (n / (labels.len() + CLASSES) as f64).ln());
        let mut scores = vec![start; labels.len()];
        let mut held_scores = vec![start; held.as_ref().map_or(0, |(_, labels)| labels.len())];
        let (mut curve, mut trees) = (LossCurve::default(), Vec::with_capacity(settings.rounds));
        let mut all_rows: Vec<u32> = (0..labels.len() as u32).collect();
        let mut all_columns: Vec<u32> = (0..matrix.columns as u32).collect();
        let draw = |of: usize, share: f64| ((of as f64 * share).ceil() as usize).clamp(1, of.max(1));
        let (drawn_rows, drawn_columns) = (draw(labels.len(), settings.rows), draw(matrix.columns, settings.features));
        let mut derivatives = vec![[(0.0, 0.0); CLASSES]; labels.len()];
        for _ in 0..settings.rounds {
            for ((scores, derivatives), &label) in scores.iter().zip(&mut derivatives).zip(labels) {
                let mut p = *scores;
                softmax(&mut p);
                for c in 0..CLASSES {
                    let target = f64::from(u8::from(c == usize::from(label)));
                    derivatives[c] = (p[c] - target, (p[c] * (1.0 - p[c])).max(LEAST_HESSIAN));
                }
            }
            shuffle(&mut all_rows, random);
            let mut rows = all_rows[..drawn_rows.min(all_rows.len())].to_vec();
            rows.sort_unstable(); // sequential memory access
            let round: [Tree; CLASSES] = std::array::from_fn(|c| {
                shuffle(&mut all_columns, random);
                let columns = &all_columns[..drawn_columns.min(all_columns.len())];
                Tree::grow(&bins, &rows, columns, |row| derivatives[row][c], settings)
            });
            add(&round, &bins, &mut scores);
            if let Some((held, labels)) = &held {
                add(&round, held, &mut held_scores);
                let loss = |(scores, &label): (&[f64; CLASSES], &u8)| {
                    let mut p = *scores;
                    softmax(&mut p) - scores[usize::from(label)]
                };
                curve.losses.push(held_scores.iter().zip(*labels).map(loss).sum());
            }
            trees.push(round);
            if held.is_some() && curve.losses.len() - curve.best() >= PATIENCE {
                break;
            }
        }
        (Self { cuts, start, trees }, curve)
    }

    /// Returns the number of rounds.
    pub fn rounds(&self) -> usize {
        self.trees.len()
    }

    /// Drops the rounds after the first `rounds`.
    pub fn truncate(&mut self, rounds: usize) {
        self.trees.truncate(rounds);
    }

    /// Returns the class probabilities of each row.
    pub fn predict(&self, matrix: &Matrix) -> Vec<[f32; CLASSES]> {
        let bins = self.cuts.bin(matrix);
        let mut scores = vec![self.start; matrix.rows()];
        self.trees.iter().for_each(|round| add(round, &bins, &mut scores));
        for scores in &mut scores {
            softmax(scores);
        }
        scores.into_iter().map(|p| p.map(|p| p as f32)).collect()
    }

    /// Returns the gain of each column over all splits.
    pub fn gains(&self) -> Vec<f64> {
        let mut gains = vec![0.0; self.cuts.columns()];
        self.trees.iter().flatten().for_each(|tree| tree.add_gains(&mut gains));
        gains
    }
}

fn add(round: &[Tree; CLASSES], bins: &Bins, scores: &mut [[f64; CLASSES]]) {
    for (c, tree) in round.iter().enumerate() {
        for (row, scores) in scores.iter_mut().enumerate() {
            scores[c] += f64::from(tree.value(bins, row));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jhalak_nn::seeded;

    const SETTINGS: BoostingSettings =
        BoostingSettings { rounds: 60, rate: 0.2, leaves: 6, min_hessian: 1.0, l2: 1.0, rows: 0.8, features: 1.0 };

    /// Class by an exclusive or of two features, with a third that is noise and partly missing.
    fn rows(n: usize, seed: u64) -> (Matrix, Vec<u8>) {
        let random = &mut seeded(seed, 0);
        let (mut values, mut labels) = (Vec::new(), Vec::new());
        for _ in 0..n {
            let (a, b) = (random.uniform(-1.0, 1.0), random.uniform(-1.0, 1.0));
            values.extend([a, b, if random.below(3) == 0 { f32::NAN } else { a * random.normal() }]);
            labels.push(if a.abs() < 0.2 {
                1
            } else if (a > 0.0) == (b > 0.0) {
                2
            } else {
                0
            });
        }
        (Matrix { values, columns: 3 }, labels)
    }

    #[test]
    fn an_interaction_of_two_features_is_learned() {
        let (train, labels) = rows(2000, 1);
        let (test, truth) = rows(500, 2);
        let (model, curve) = Boosting::fit(&train, &labels, &SETTINGS, Some((&test, &truth)), &mut seeded(3, 0));
        let right =
            |p: &[[f32; 3]]| p.iter().zip(&truth).filter(|(p, y)| p.iter().all(|x| *x <= p[usize::from(**y)])).count();
        let predicted = model.predict(&test);
        assert!(right(&predicted) > 470, "{} of 500", right(&predicted));
        assert!(predicted.iter().all(|p| (p.iter().sum::<f32>() - 1.0).abs() < 1e-5));
        let loss = crate::ensemble::linear::softmax::log_loss(&predicted, &truth) * 500.0;
        assert!((loss - curve.losses[59]).abs() < 0.05, "the curve matches the loss of the predictions: {loss}");
        assert!(curve.losses[59] < 0.5 * curve.losses[0]);
    }

    #[test]
    fn the_same_seed_gives_the_same_model_and_storing_keeps_it() {
        let (train, labels) = rows(300, 1);
        let fit = |seed| Boosting::fit(&train, &labels, &SETTINGS, None, &mut seeded(seed, 0)).0;
        let model = fit(5);
        assert_eq!(model, fit(5));
        assert_ne!(model, fit(6));
        let stored = serde_json::to_string(&model).expect("plain data");
        assert_eq!(serde_json::from_str::<Boosting>(&stored).expect("as written"), model);
    }

    #[test]
    fn one_row_of_one_class_can_be_fitted() {
        let one = Matrix { values: vec![1.0, f32::NAN, 0.0], columns: 3 };
        let (model, _) = Boosting::fit(&one, &[2], &SETTINGS, None, &mut seeded(1, 0));
        assert!(model.predict(&one)[0][2] > 0.4);
    }
}
