//! The final fit: every model that is asked for, on every rating, one a core.

use super::description::{Card, HonestCard};
use super::files::{Files, encode};
use super::network::{FittedNetwork, fit_network};
use crate::RecommendError;
use crate::ensemble::{self, Settings};
use crate::features::embedding::Features;
use jhalak_common::dataset::Dataset;
use jhalak_common::evaluation::FitSpec;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What is fitted.
pub struct FitRequest<'a> {
    /// The dataset, every rating of it.
    pub dataset: &'a Dataset,
    /// SHA-256 of its normal form.
    pub content: String,
    /// The embeddings that the network's modality reads.
    pub features: &'a Features,
    /// SHA-256 of the tables that they come from.
    pub tables: Vec<String>,
    /// Which models.
    pub spec: &'a FitSpec,
}

/// One of the models.
enum Part {
    Network(Box<FittedNetwork>),
    Honest(Box<(ensemble::Stored, HonestCard)>),
}

/// Fits the models on at most `threads` threads, calls `ended` with the name of each, and gives the files to store. They do not depend on
/// `threads`.
///
/// # Errors
/// What the first model that fails fails with, or `stop`.
pub fn fit_all(
    request: &FitRequest<'_>,
    threads: usize,
    stop: &AtomicBool,
    ended: impl Fn(&str) + Sync,
) -> Result<Files, RecommendError> {
    let FitRequest { dataset, content, features, tables, spec } = request;
    let count = spec.parts();
    if count == 0 {
        let reason = "asks for no model: keep the network or an honest one".to_owned();
        return Err(RecommendError::Setting { setting: "fit", reason });
    }
    let networks = usize::from(spec.network.is_some());
    let fit_part = |part: usize| -> Result<Part, RecommendError> {
        if let Some(cell) = spec.network.as_ref().filter(|_| part < networks) {
            let fitted = fit_network(dataset, features, cell, stop)?;
            ended(cell.model.name());
            return Ok(Part::Network(Box::new(fitted)));
        }
        let settings = Settings::new(spec.honest[part - networks].into());
        let all: Vec<u32> = (0..dataset.ratings.len() as u32).collect();
        let fitted = ensemble::fit(dataset, &all, &settings, spec.seed, stop)?;
        let card = HonestCard { regime: settings.regime, inner: fitted.inner().to_vec(), balance: fitted.balance() };
        ended("honest");
        Ok(Part::Honest(Box::new((fitted.store(dataset, &all), card))))
    };
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let parts = Mutex::new((0..count).map(|_| None).collect::<Vec<_>>());
    let work = || {
        loop {
            let part = next.fetch_add(1, Ordering::Relaxed);
            if part >= count || failed.load(Ordering::Relaxed) {
                return;
            }
            let result = fit_part(part);
            failed.fetch_or(result.is_err(), Ordering::Relaxed);
            // A thread that panicked poisons the lock, and the scope hands its panic on.
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
    let parts: Vec<Part> = parts.into_iter().flatten().collect::<Result<_, _>>()?;

    let mut card = Card::of(dataset, content.clone(), spec.seed);
    card.embeddings.clone_from(tables);
    let (mut network, mut stored) = (None, Vec::new());
    for part in parts {
        match part {
            Part::Network(fitted) => network = Some(fitted),
            Part::Honest(honest) => {
                let (model, figures) = *honest;
                stored.push(model);
                card.honest.push(figures);
            }
        }
    }
    encode(dataset, &card, network.as_deref_mut(), &stored)
}
