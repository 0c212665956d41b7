//! Extremely randomised trees (Geurts, Ernst and Wehenkel 2006): every split is the best of a few
//! random ones, and every tree is grown on all rows.

use super::bins::{Bins, Cuts};
use super::packed::{self, Packed};
use crate::CLASSES;
use crate::ensemble::linear::softmax::smoothed;
use crate::ensemble::matrix::Matrix;
use crate::ensemble::settings::ExtraTreesSettings;
use jhalak_nn::Random;
use serde::{Deserialize, Serialize};

/// Strength, in pairs, with which a leaf's shares are shrunk towards the overall shares.
const SMOOTHING: f64 = 1.0;

type Counts = [f64; CLASSES];

/// A node of a tree.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Node {
    /// Rows whose bin of `column` is at most `bin` go to node `low`, others to `low + 1`.
    Split { column: u32, bin: u8, low: u32 },
    /// Class shares.
    Leaf([f32; CLASSES]),
}

/// A fitted forest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExtraTrees {
    cuts: Cuts,
    trees: Vec<Tree>,
}

/// The nodes of a tree, root first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Tree(#[serde(with = "packed")] Vec<Node>);

impl Packed for Node {
    fn write(&self, to: &mut Vec<u8>) {
        match self {
            Node::Split { column, bin, low } => {
                to.extend([0, *bin]);
                to.extend([column.to_le_bytes(), low.to_le_bytes()].as_flattened());
            }
            Node::Leaf(shares) => {
                to.push(1);
                to.extend(shares.map(f32::to_le_bytes).as_flattened());
            }
        }
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        match packed::take(from)? {
            [0] => {
                let [bin] = packed::take(from)?;
                let (column, low) = (packed::take(from)?, packed::take(from)?);
                Some(Node::Split { column: u32::from_le_bytes(column), bin, low: u32::from_le_bytes(low) })
            }
            [1] => {
                let mut shares = [0.0; CLASSES];
                for share in &mut shares {
                    *share = f32::from_le_bytes(packed::take(from)?);
                }
                Some(Node::Leaf(shares))
            }
            _ => None,
        }
    }

    fn children(&self) -> Option<u32> {
        match self {
            Node::Split { low, .. } => Some(*low),
            Node::Leaf(_) => None,
        }
    }
}

/// The inputs that all trees of a forest share while they are grown.
struct Grower<'a> {
    bins: &'a Bins,
    labels: &'a [u8],
    overall: Counts,
    settings: &'a ExtraTreesSettings,
}

impl ExtraTrees {
    /// Grows the forest.
    pub fn fit(matrix: &Matrix, labels: &[u8], settings: &ExtraTreesSettings, random: &mut Random) -> Self {
        let cuts = Cuts::of(matrix);
        let bins = cuts.bin(matrix);
        let all: Vec<u32> = (0..labels.len() as u32).collect();
        let mut counts = [0.0; CLASSES];
        labels.iter().for_each(|&label| counts[usize::from(label)] += 1.0);
        let overall = smoothed(counts, [1.0 / CLASSES as f64; CLASSES], 1.0);
        let grower = Grower { bins: &bins, labels, overall, settings };
        let mut columns: Vec<u32> = (0..matrix.columns as u32).collect();
        let trees = (0..settings.trees).map(|_| Tree(grower.grow(all.clone(), &mut columns, random))).collect();
        Self { cuts, trees }
    }

    /// Returns the class probabilities of each row: the mean over the trees.
    pub fn predict(&self, matrix: &Matrix) -> Vec<[f32; CLASSES]> {
        let bins = self.cuts.bin(matrix);
        (0..matrix.rows())
            .map(|row| {
                let mut sum = [0.0; CLASSES];
                for tree in &self.trees {
                    let shares = leaf_of(&tree.0, &bins, row);
                    (0..CLASSES).for_each(|c| sum[c] += f64::from(shares[c]));
                }
                sum.map(|sum| (sum / self.trees.len().max(1) as f64) as f32)
            })
            .collect()
    }
}

impl Grower<'_> {
    fn grow(&self, rows: Vec<u32>, columns: &mut [u32], random: &mut Random) -> Vec<Node> {
        let mut tree = vec![Node::Leaf([0.0; CLASSES])];
        let mut open = vec![(0, rows)];
        let mut ones = Vec::new();
        while let Some((node, rows)) = open.pop() {
            ones.clear();
            ones.extend(rows.iter().map(|&row| 1 << (BITS * u32::from(self.labels[row as usize]))));
            let own = unpack(ones.iter().sum());
            let pure = own.iter().filter(|n| **n > 0.0).count() < 2;
            let split = if pure { None } else { self.choose(&rows, &ones, own, columns, random) };
            let Some((column, bin)) = split else {
                tree[node] = Node::Leaf(smoothed(own, self.overall, SMOOTHING).map(|p| p as f32));
                continue;
            };
            let of_row = self.bins.column(column as usize);
            let (low, high) = rows.into_iter().partition(|&row| of_row[row as usize] <= bin);
            let first = tree.len();
            tree[node] = Node::Split { column, bin, low: first as u32 };
            tree.extend([Node::Leaf([0.0; CLASSES]); 2]);
            open.push((first, low));
            open.push((first + 1, high));
        }
        tree
    }

    /// Draws one split for each of a few random columns, between the bins of two random rows, and
    /// returns the best. `ones` holds a packed count of one for each row's class.
    fn choose(
        &self,
        rows: &[u32],
        ones: &[u64],
        own: Counts,
        columns: &mut [u32],
        random: &mut Random,
    ) -> Option<(u32, u8)> {
        let least = self.settings.min_rows.max(1);
        if rows.len() < 2 * least {
            return None;
        }
        let wanted = (columns.len() as f64 * self.settings.features).ceil() as usize;
        let mut best: Option<(f64, u32, u8)> = None;
        for place in 0..wanted.min(columns.len()) {
            let drawn = place + random.below(columns.len() - place);
            columns.swap(place, drawn);
            let column = columns[place];
            let of_row = self.bins.column(column as usize);
            let (a, b) =
                (of_row[rows[random.below(rows.len())] as usize], of_row[rows[random.below(rows.len())] as usize]);
            if a == b {
                continue;
            }
            let cut = a.min(b) + random.below(usize::from(a.abs_diff(b))) as u8;
            let below = rows.iter().zip(ones).map(|(&row, one)| one * u64::from(of_row[row as usize] <= cut)).sum();
            let low = unpack(below);
            let high: Counts = std::array::from_fn(|c| own[c] - low[c]);
            let (few, many) = (low.iter().sum::<f64>(), high.iter().sum::<f64>());
            if few < least as f64 || many < least as f64 {
                continue;
            }
            // Gini: the higher the sums of squared counts, the purer the sides.
            let squares = |counts: Counts| counts.iter().map(|n| n * n).sum::<f64>();
            let purity = squares(low) / few + squares(high) / many;
            if best.is_none_or(|(most, _, _)| purity > most) {
                best = Some((purity, column, cut));
            }
        }
        best.map(|(_, column, cut)| (column, cut))
    }
}

/// Bits of one class's count in a packed `u64`: up to two million pairs.
const BITS: u32 = 21;

fn unpack(counts: u64) -> Counts {
    std::array::from_fn(|c| (counts >> (BITS * c as u32) & ((1 << BITS) - 1)) as f64)
}

fn leaf_of(tree: &[Node], bins: &Bins, row: usize) -> [f32; CLASSES] {
    let mut at = 0;
    loop {
        match tree[at] {
            Node::Leaf(shares) => return shares,
            Node::Split { column, bin, low } => {
                at = low as usize + usize::from(bins.column(column as usize)[row] > bin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jhalak_nn::seeded;

    #[test]
    fn a_ring_is_learned() {
        let random = &mut seeded(1, 0);
        let mut rows = |n: usize| {
            let (mut values, mut labels) = (Vec::new(), Vec::new());
            for _ in 0..n {
                let (a, b) = (random.uniform(-1.0, 1.0), random.uniform(-1.0, 1.0));
                values.extend([a, b, 7.0]);
                labels.push(if a * a + b * b < 0.4 { 2 } else { 0 });
            }
            (Matrix { values, columns: 3 }, labels)
        };
        let ((train, labels), (test, truth)) = (rows(1500), rows(400));
        let settings = ExtraTreesSettings { trees: 40, min_rows: 3, features: 1.0 };
        let fit = || ExtraTrees::fit(&train, &labels, &settings, &mut seeded(2, 0));
        let predicted = fit().predict(&test);
        let right = predicted.iter().zip(&truth).filter(|(p, y)| (p[2] > 0.5) == (**y == 2)).count();
        assert!(right > 375, "{right} of 400");
        assert!(predicted.iter().all(|p| (p.iter().sum::<f32>() - 1.0).abs() < 1e-4));
        assert_eq!(fit(), fit());
    }
}
