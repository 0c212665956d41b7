//! What is lost without a group of features.
//!
//! The whole stack is not fitted again for every group, which would take minutes a fold: boosting alone is, with the rounds that were kept,
//! on the same described rows less the group's columns. The row with all features is what the others compare with.

use super::trees::bins::Matrix;
use super::trees::boosting::Boosting;
use super::{About, Fitted, Part, sorted, stopped};
use crate::{CLASSES, RecommendError};
use jhalak_common::dataset::Dataset;
use jhalak_common::evaluation::PartKind;
use jhalak_nn::seeded;
use std::sync::atomic::AtomicBool;

/// Stream of the seed.
const BOOSTING: u64 = 5 << 32;

/// The groups, in the order of reports.
pub const GROUPS: [(&str, &[Part]); 7] = [
    ("user and movie rates and biases", &[Part::Rates, Part::Bias, Part::Factors]),
    ("GL-score and genre leaning", &[Part::Gl, Part::GenreLeaning]),
    ("content and people", &[Part::Content, Part::People]),
    ("hierarchical model", &[Part::Hierarchical]),
    ("attention over the user's movies", &[Part::Attention]),
    ("neighbouring movies", &[Part::Neighbours]),
    ("what is known of the user", &[Part::Attributes]),
];

/// What was left out, and the probabilities of the pairs asked about.
type Row = (PartKind, &'static str, Vec<[f32; CLASSES]>);

impl Fitted {
    /// Boosting with all features, and without each group that has any. `train` are the pairs that the model was fitted on, `asked` pairs of
    /// (user, movie). Empty for a model without boosting.
    ///
    /// # Errors
    /// As [`super::fit`] and [`Fitted::predict`].
    pub fn ablation(
        &self,
        dataset: &Dataset,
        train: &[u32],
        asked: &[(u32, u32)],
        stop: &AtomicBool,
    ) -> Result<Vec<Row>, RecommendError> {
        if self.rounds() == 0 {
            return Ok(Vec::new());
        }
        let (settings, seed) = (&self.learned.settings, self.learned.seed);
        let about = About { dataset, catalogue: &self.catalogue, settings, seed, stop };
        let rows = about.held_out(&sorted(dataset, train)?, 0)?;
        let asked = self.describe(asked)?;
        let mut boosting = settings.boosting;
        boosting.rounds = self.rounds();
        let mut answer = Vec::new();
        for (kind, name, parts) in std::iter::once((PartKind::AllFeatures, "all features", &[][..]))
            .chain(GROUPS.map(|(name, parts)| (PartKind::Without, name, parts)))
        {
            stopped(stop)?;
            let kept: Vec<usize> =
                (0..self.learned.names.len()).filter(|&i| !parts.contains(&self.learned.names[i].0)).collect();
            if kept.is_empty() || (kind == PartKind::Without && kept.len() == self.learned.names.len()) {
                continue;
            }
            let random = &mut seeded(seed, BOOSTING);
            let (model, _) = Boosting::fit(&columns(&rows.features, &kept), &rows.labels, &boosting, None, random);
            answer.push((kind, name, model.predict(&columns(&asked.features, &kept))));
        }
        Ok(answer)
    }
}

/// These columns of a matrix.
fn columns(matrix: &Matrix, kept: &[usize]) -> Matrix {
    let rows = (0..matrix.rows()).flat_map(|row| kept.iter().map(move |&column| matrix.row(row)[column]));
    Matrix { values: rows.collect(), columns: kept.len() }
}
