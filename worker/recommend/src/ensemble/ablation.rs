//! Feature ablation: what the model loses without a group of features.
//!
//! Fitting the whole stack without each group would take minutes for each fold. Only boosting is
//! fitted again, with the rounds that were kept, on the same rows without the group's columns.
//! Compare with the row of all features.

use super::fitted::FittedEnsemble;
use super::matrix::Matrix;
use super::rows::{RowBuilder, check_stop, sorted_pairs};
use super::settings::Part;
use super::trees::boosting::Boosting;
use crate::{CLASSES, RecommendError};
use jhalak_common::dataset::Dataset;
use jhalak_common::evaluation::PartKind;
use jhalak_nn::seeded;
use std::sync::atomic::AtomicBool;

/// Stream of the seed.
const BOOSTING: u64 = 5 << 32;

/// Feature groups, in the order of reports.
pub const GROUPS: [(&str, &[Part]); 11] = [
    ("user and movie rates and biases", &[Part::Rates, Part::Bias, Part::Factors]),
    ("GL-score and genre leaning", &[Part::Gl, Part::GenreLeaning]),
    ("content and people", &[Part::Content, Part::People]),
    ("hierarchical model", &[Part::Hierarchical]),
    ("attention over the user's movies", &[Part::Attention]),
    ("neighbouring movies", &[Part::Neighbours]),
    ("what is known of the user", &[Part::Attributes]),
    ("factorisation machine", &[Part::FactorisationMachine]),
    ("likeness by shared viewers", &[Part::SharedViewers]),
    ("trailer pictures", &[Part::Video]),
    ("trailer sound", &[Part::Audio]),
];

/// The group left out, and the probabilities without it.
type Row = (PartKind, &'static str, Vec<[f32; CLASSES]>);

impl FittedEnsemble {
    /// Predicts `pairs` of (user, movie) by boosting with all features, and without each group that
    /// has any. `train` are the pairs of the fit. Empty for an ensemble without boosting.
    ///
    /// # Errors
    /// As [`super::fitted::fit`] and [`FittedEnsemble::predict`].
    pub fn ablation(
        &self,
        dataset: &Dataset,
        train: &[u32],
        pairs: &[(u32, u32)],
        stop: &AtomicBool,
    ) -> Result<Vec<Row>, RecommendError> {
        if self.rounds() == 0 {
            return Ok(Vec::new());
        }
        let (settings, seed) = (&self.learned.settings, self.learned.seed);
        let builder = RowBuilder { dataset, catalogue: &self.catalogue, settings, seed, stop };
        let rows = builder.out_of_fold(&sorted_pairs(dataset, train)?, 0)?;
        let predicted = self.rows(pairs)?;
        let mut boosting = settings.boosting;
        boosting.rounds = self.rounds();
        let mut results = Vec::new();
        for (kind, name, parts) in std::iter::once((PartKind::AllFeatures, "all features", &[][..]))
            .chain(GROUPS.map(|(name, parts)| (PartKind::Without, name, parts)))
        {
            check_stop(stop)?;
            let kept: Vec<usize> =
                (0..self.learned.names.len()).filter(|&i| !parts.contains(&self.learned.names[i].0)).collect();
            if kept.is_empty() || (kind == PartKind::Without && kept.len() == self.learned.names.len()) {
                continue;
            }
            let random = &mut seeded(seed, BOOSTING);
            let (model, _) = Boosting::fit(&columns(&rows.features, &kept), &rows.labels, &boosting, None, random);
            results.push((kind, name, model.predict(&columns(&predicted.features, &kept))));
        }
        Ok(results)
    }
}

/// Returns these columns of a matrix.
fn columns(matrix: &Matrix, kept: &[usize]) -> Matrix {
    let rows = (0..matrix.rows()).flat_map(|row| kept.iter().map(move |&column| matrix.row(row)[column]));
    Matrix { values: rows.collect(), columns: kept.len() }
}
