//! The final fit: fits each requested model on every rating, one on each thread.

use super::description::{Card, EnsembleCard};
use super::files::{Files, encode};
use super::network::{FittedNetwork, fit_network};
use crate::RecommendError;
use crate::ensemble::{self, Settings, StoredEnsemble};
use crate::features::embedding::Features;
use crate::features::principal_components::Track;
use crate::ranking::WatchModel;
use jhalak_common::dataset::Dataset;
use jhalak_common::evaluation::{FitSpec, LeftOutPart, Model, Split, network_name};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The request of a fit.
pub struct FitRequest<'a> {
    /// The dataset, every rating of it.
    pub dataset: &'a Dataset,
    /// SHA-256 of its normal form.
    pub content: String,
    /// The embeddings that the network and the ensembles read.
    pub features: &'a Features,
    /// SHA-256 of the tables of those embeddings.
    pub tables: Vec<String>,
    /// The models to fit.
    pub spec: &'a FitSpec,
}

/// One fitted model.
enum Fitted {
    Network(Box<FittedNetwork>),
    Ensemble(Box<(StoredEnsemble, EnsembleCard)>),
}

fn split_name(split: Split) -> &'static str {
    match split {
        Split::Pairs => "pairs",
        Split::Movies => "movies",
        Split::Users { .. } => "users",
    }
}

/// Fits the models on at most `threads` threads, calls `ended` with the name of each, and returns
/// the files to store, which do not depend on `threads`. A model that cannot be fitted is left out,
/// and the card names it and the reason.
///
/// # Errors
/// The error of the first model where none can be fitted, or `stop`.
pub fn fit_all(
    request: &FitRequest<'_>,
    threads: usize,
    stop: &AtomicBool,
    ended: impl Fn(&str) + Sync,
) -> Result<Files, RecommendError> {
    let FitRequest { dataset, content, features, tables: hashes, spec } = request;
    let count = spec.parts();
    if count == 0 {
        let reason = "has no model: keep the network or an ensemble".to_owned();
        return Err(RecommendError::Setting { setting: "fit", reason });
    }
    let networks = usize::from(spec.network.is_some());
    let tables = match spec.trailers.filter(|_| !spec.ensembles.is_empty()) {
        Some(modality) => features.tables(modality, dataset)?,
        None => Vec::new(),
    };
    let tracks = spec.trailers.map_or(&[][..], Track::of);
    let trailers: Vec<_> = tracks.iter().copied().zip(&tables).collect();
    let fit_part = |part: usize| -> Result<Fitted, RecommendError> {
        if let Some(cell) = spec.network.as_ref().filter(|_| part < networks) {
            let fitted = fit_network(dataset, features, cell, stop)?;
            ended(cell.model.name());
            return Ok(Fitted::Network(Box::new(fitted)));
        }
        let settings = Settings::new(spec.ensembles[part - networks].into());
        let all: Vec<u32> = (0..dataset.ratings.len() as u32).collect();
        let fitted = ensemble::fit(dataset, &all, &trailers, &settings, spec.seed, stop)?;
        let card = EnsembleCard {
            cold_start: settings.cold_start,
            trailers: trailers.iter().map(|(track, _)| *track).collect(),
            inner: fitted.inner().to_vec(),
            class_weights: fitted.class_weights(),
        };
        ended(Model::Ensemble.name());
        Ok(Fitted::Ensemble(Box::new((fitted.store(dataset, &all), card))))
    };
    let (next, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
    let parts = Mutex::new((0..count).map(|_| None).collect::<Vec<_>>());
    let work = || {
        loop {
            let part = next.fetch_add(1, Ordering::Relaxed);
            if part >= count || stopped.load(Ordering::Relaxed) {
                return;
            }
            let result = fit_part(part);
            stopped.fetch_or(matches!(result, Err(RecommendError::Stopped)), Ordering::Relaxed);
            // A panicking thread poisons the lock, and the scope propagates its panic.
            if let Ok(mut parts) = parts.lock() {
                parts[part] = Some(result);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.clamp(1, count) {
            scope.spawn(work);
        }
        work();
    });
    let parts = parts.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut card = Card::of(dataset, content.clone(), spec.seed);
    card.left_out.clone_from(&spec.left_out);
    card.embeddings.clone_from(hashes);
    let (mut network, mut stored, mut first) = (None, Vec::new(), None);
    for (part, fitted) in parts.into_iter().enumerate() {
        match fitted {
            Some(Ok(Fitted::Network(fitted))) => network = Some(fitted),
            Some(Ok(Fitted::Ensemble(ensemble))) => {
                let (model, figures) = *ensemble;
                stored.push(model);
                card.ensembles.push(figures);
            }
            None | Some(Err(RecommendError::Stopped)) => return Err(RecommendError::Stopped),
            Some(Err(error)) => {
                let name = match &spec.network {
                    Some(cell) if part < networks => network_name(cell),
                    _ => format!("ensemble for {}", split_name(spec.ensembles[part - networks])),
                };
                card.left_out.push(LeftOutPart { part: name, reason: error.to_string() });
                first.get_or_insert(error);
            }
        }
    }
    if let Some(error) = first.filter(|_| network.is_none() && stored.is_empty()) {
        return Err(error);
    }
    let all: Vec<u32> = (0..dataset.ratings.len() as u32).collect();
    let watch = WatchModel::fit(dataset, &all, stop)?;
    encode(dataset, &card, network.as_deref_mut(), &stored, Some(&watch))
}
