//! The paper's ANN baseline: a movie tower and a user tower, shared by the modalities, and dense
//! layers on both.

use super::Network;
use crate::CLASSES;
use crate::RecommendError;
use crate::features::inputs::Batch;
use jhalak_common::evaluation::Edition;
use jhalak_nn::{Activation, Mlp, OptimizerState, Parameter, Random};

/// Outputs of a tower.
const TOWER: usize = 64;

/// Towers dim -> 256 -> 128 -> 64 (tanh). Dense layers, tanh between: one modality 128 -> 64 -> 32
/// -> 3; two modalities 256 -> 128 -> 64 -> 3 in the notebooks, 256 -> 128 -> 64 -> 32 -> 3 in the
/// paper's text.
#[derive(Clone, Debug)]
pub struct Ann {
    towers: [Mlp; 2],
    dense: Mlp,
    modalities: usize,
    dim: usize,
    /// Inputs of both towers: the rows of the modalities, concatenated.
    stacked: [Vec<f32>; 2],
    concat: Vec<f32>,
    dconcat: Vec<f32>,
    dtower: Vec<f32>,
}

impl Ann {
    /// Initialises the network for these embedding sizes, one for each modality.
    ///
    /// # Errors
    /// [`RecommendError::Setting`]: sizes that differ, because the modalities share their towers.
    pub fn new(dims: &[usize], edition: Edition, random: &mut Random) -> Result<Self, RecommendError> {
        let dim = dims.first().copied().unwrap_or(0);
        if dims.iter().any(|&d| d != dim) {
            let reason = format!(
                "the modalities share the ANN's towers, so their embeddings need one size, not {dims:?}: use genre heads"
            );
            return Err(RecommendError::Setting { setting: "model", reason });
        }
        let towers = [(); 2].map(|()| Mlp::new(&[dim, 256, 128, TOWER], Activation::Tanh, true, random));
        let both = 2 * TOWER * dims.len();
        let widths: &[usize] = match (dims.len(), edition) {
            (0 | 1, _) => &[both, 64, 32, CLASSES],
            (_, Edition::Notebook) => &[both, 128, 64, CLASSES],
            (_, Edition::Paper) => &[both, 128, 64, 32, CLASSES],
        };
        Ok(Self {
            towers,
            dense: Mlp::new(widths, Activation::Tanh, false, random),
            modalities: dims.len(),
            dim,
            stacked: [Vec::new(), Vec::new()],
            concat: Vec::new(),
            dconcat: Vec::new(),
            dtower: Vec::new(),
        })
    }
}

impl Network for Ann {
    fn forward(&mut self, batches: &[Batch], rows: usize) -> &[f32] {
        let width = 2 * TOWER * self.modalities;
        self.concat.resize(rows * width, 0.0);
        for (which, (tower, stacked)) in self.towers.iter_mut().zip(&mut self.stacked).enumerate() {
            stacked.clear();
            for batch in batches {
                let input = if which == 0 { &batch.movie } else { &batch.user };
                stacked.extend_from_slice(&input[..rows * self.dim]);
            }
            let out = tower.forward(stacked, rows * self.modalities);
            for (i, part) in out.chunks_exact(TOWER).enumerate() {
                let start = i % rows * width + (2 * (i / rows) + which) * TOWER;
                self.concat[start..start + TOWER].copy_from_slice(part);
            }
        }
        self.dense.forward(&self.concat, rows)
    }

    fn backward(&mut self, _batches: &[Batch], dlogits: &[f32], rows: usize, optimizer: &mut OptimizerState) {
        let width = 2 * TOWER * self.modalities;
        self.dconcat.resize(rows * width, 0.0);
        self.dense.backward(&self.concat, dlogits, rows, Some((&mut self.dconcat, false)), optimizer);
        self.dtower.resize(rows * self.modalities * TOWER, 0.0);
        for (which, (tower, stacked)) in self.towers.iter_mut().zip(&self.stacked).enumerate() {
            for (i, part) in self.dtower.chunks_exact_mut(TOWER).enumerate() {
                let start = i % rows * width + (2 * (i / rows) + which) * TOWER;
                part.copy_from_slice(&self.dconcat[start..start + TOWER]);
            }
            tower.backward(stacked, &self.dtower, rows * self.modalities, None, optimizer);
        }
    }

    fn parameters(&mut self, visit: &mut dyn FnMut(&str, &mut Parameter)) {
        let [movie, user] = &mut self.towers;
        movie.parameters("movie", visit);
        user.parameters("user", visit);
        self.dense.parameters("dense", visit);
    }
}
