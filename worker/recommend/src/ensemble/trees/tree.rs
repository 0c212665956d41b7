//! One regression tree on binned features, grown best leaf first.

use super::bins::Bins;
use super::packed::{self, Packed};
use crate::ensemble::settings::BoostingSettings;
use serde::{Deserialize, Serialize};

/// A first and a second derivative of the loss, summed.
type Sum = (f64, f64);

/// Inside a tree.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Node {
    /// Rows whose bin of `column` is at most `bin` go to node `low`, others to `low + 1`.
    Split { column: u32, bin: u8, low: u32, gain: f32 },
    /// What its rows are given.
    Leaf(f32),
}

/// A tree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tree {
    #[serde(with = "packed")]
    nodes: Vec<Node>,
}

impl Packed for Node {
    fn write(&self, to: &mut Vec<u8>) {
        match self {
            Node::Split { column, bin, low, gain } => {
                to.extend([0, *bin]);
                to.extend([column.to_le_bytes(), low.to_le_bytes(), gain.to_le_bytes()].as_flattened());
            }
            Node::Leaf(value) => {
                to.push(1);
                to.extend(value.to_le_bytes());
            }
        }
    }

    fn read(from: &mut &[u8]) -> Option<Self> {
        match packed::take(from)? {
            [0] => {
                let [bin] = packed::take(from)?;
                let (column, low) = (packed::take(from)?, packed::take(from)?);
                let gain = f32::from_le_bytes(packed::take(from)?);
                Some(Node::Split { column: u32::from_le_bytes(column), bin, low: u32::from_le_bytes(low), gain })
            }
            [1] => packed::take(from).map(|value| Node::Leaf(f32::from_le_bytes(value))),
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

/// A leaf that may still be split.
struct Open {
    node: usize,
    rows: Vec<u32>,
    derivatives: Vec<Sum>,
    sum: Sum,
    /// columns x bins.
    histogram: Vec<Sum>,
    best: Option<Candidate>,
}

/// The best split of a leaf.
#[derive(Clone, Copy)]
struct Candidate {
    gain: f64,
    /// Place among the drawn columns.
    place: usize,
    bin: u8,
    low: Sum,
}

impl Tree {
    /// Grows a tree on these rows and columns. `derivative` gives a row's first and second derivative.
    pub fn grow(
        bins: &Bins,
        rows: &[u32],
        columns: &[u32],
        derivative: impl Fn(usize) -> Sum,
        settings: &BoostingSettings,
    ) -> Self {
        let derivatives: Vec<Sum> = rows.iter().map(|&row| derivative(row as usize)).collect();
        let sum = derivatives.iter().fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
        let histogram = histogram(bins, columns, rows, &derivatives);
        let mut root = Open { node: 0, rows: rows.to_vec(), derivatives, sum, histogram, best: None };
        root.best = root.find(bins.most, settings);
        let mut tree = Self { nodes: vec![Node::Leaf(leaf(sum, settings))] };
        let mut open = vec![root];
        while tree.nodes.len() + 2 < 2 * settings.leaves {
            let gain = |open: &Open| open.best.map_or(f64::NEG_INFINITY, |best| best.gain);
            let Some(place) =
                (0..open.len()).max_by(|&a, &b| gain(&open[a]).total_cmp(&gain(&open[b])).then(b.cmp(&a)))
            else {
                break;
            };
            let Some(best) = open[place].best else { break };
            let parent = open.swap_remove(place);
            let column = columns[best.place];
            tree.nodes[parent.node] =
                Node::Split { column, bin: best.bin, low: tree.nodes.len() as u32, gain: best.gain as f32 };
            for mut child in parent.split(bins, columns, column, &best, tree.nodes.len()) {
                tree.nodes.push(Node::Leaf(leaf(child.sum, settings)));
                child.best = child.find(bins.most, settings);
                open.push(child);
            }
        }
        tree
    }

    /// What the tree gives to a row.
    pub fn value(&self, bins: &Bins, row: usize) -> f32 {
        let mut at = 0;
        loop {
            match self.nodes[at] {
                Node::Leaf(value) => return value,
                Node::Split { column, bin, low, .. } => {
                    at = low as usize + usize::from(bins.column(column as usize)[row] > bin);
                }
            }
        }
    }

    /// Adds what each column gained.
    pub fn add_gains(&self, gains: &mut [f64]) {
        for node in &self.nodes {
            if let Node::Split { column, gain, .. } = node {
                gains[*column as usize] += f64::from(*gain);
            }
        }
    }
}

impl Open {
    /// The split that gains most, if any gains and leaves enough on both sides.
    fn find(&self, most: usize, settings: &BoostingSettings) -> Option<Candidate> {
        let score = |sum: Sum| sum.0 * sum.0 / (sum.1 + settings.l2);
        let own = score(self.sum);
        if self.sum.1 < 2.0 * settings.min_hessian {
            return None;
        }
        let mut best: Option<Candidate> = None;
        for (place, histogram) in self.histogram.chunks_exact(most).enumerate() {
            let mut low = (0.0, 0.0);
            for (bin, sum) in histogram[..most - 1].iter().enumerate() {
                if sum.1 == 0.0 {
                    continue;
                }
                low = (low.0 + sum.0, low.1 + sum.1);
                let high = (self.sum.0 - low.0, self.sum.1 - low.1);
                if high.1 < settings.min_hessian {
                    break;
                }
                if low.1 < settings.min_hessian {
                    continue;
                }
                let gain = score(low) + score(high) - own;
                if gain > best.map_or(1e-9, |best| best.gain) {
                    best = Some(Candidate { gain, place, bin: bin as u8, low });
                }
            }
        }
        best
    }

    /// The two children. The histogram of the smaller is counted, the other's is what is left of the parent's.
    fn split(mut self, bins: &Bins, columns: &[u32], column: u32, best: &Candidate, first: usize) -> [Open; 2] {
        let of_row = bins.column(column as usize);
        let mut sides = [(Vec::new(), Vec::new()), (Vec::new(), Vec::new())];
        for (&row, &derivative) in self.rows.iter().zip(&self.derivatives) {
            let side = &mut sides[usize::from(of_row[row as usize] > best.bin)];
            side.0.push(row);
            side.1.push(derivative);
        }
        let small = usize::from(sides[1].0.len() < sides[0].0.len());
        let counted = histogram(bins, columns, &sides[small].0, &sides[small].1);
        for (left, counted) in self.histogram.iter_mut().zip(&counted) {
            // Rounding may leave a trace where nothing is left: no row has a second derivative this small.
            let rest = (left.0 - counted.0, left.1 - counted.1);
            *left = if rest.1 < 1e-9 { (0.0, 0.0) } else { rest };
        }
        let high = (self.sum.0 - best.low.0, self.sum.1 - best.low.1);
        let mut histograms = [self.histogram, counted];
        if small == 0 {
            histograms.swap(0, 1);
        }
        let [low_side, high_side] = sides;
        let [low_histogram, high_histogram] = histograms;
        let child = |node, side: (Vec<u32>, Vec<Sum>), sum, histogram| Open {
            node,
            rows: side.0,
            derivatives: side.1,
            sum,
            histogram,
            best: None,
        };
        [child(first, low_side, best.low, low_histogram), child(first + 1, high_side, high, high_histogram)]
    }
}

/// The value that minimises the loss of a leaf, shrunk.
fn leaf(sum: Sum, settings: &BoostingSettings) -> f32 {
    (-settings.rate * sum.0 / (sum.1 + settings.l2).max(1e-9)) as f32
}

/// Sums of the derivatives by bin: columns x bins.
fn histogram(bins: &Bins, columns: &[u32], rows: &[u32], derivatives: &[Sum]) -> Vec<Sum> {
    let mut histogram = vec![(0.0, 0.0); columns.len() * bins.most];
    for (&column, histogram) in columns.iter().zip(histogram.chunks_exact_mut(bins.most)) {
        let of_row = bins.column(column as usize);
        for (&row, derivative) in rows.iter().zip(derivatives) {
            let sum = &mut histogram[usize::from(of_row[row as usize])];
            sum.0 += derivative.0;
            sum.1 += derivative.1;
        }
    }
    histogram
}
