//! The final model of a run, read from the store; what was read for known viewers is held.

use std::sync::PoisonError;

use jhalak_common::{Error, ErrorKind, Result};
use jhalak_worker::blocking;
use jhalak_worker::recommend::serving::{LoadedModel, ModelKind, SessionInput};

use super::held_models::KnownViewers;
use super::index::RunIndex;
use super::site::Site;
use crate::artifacts::fitted_model;

/// Reads the final model that the report of a run names.
///
/// # Errors
/// NotFound, with the way out, before the run has fitted one.
pub async fn of_run(site: &Site, index: &RunIndex, folder: Option<String>) -> Result<LoadedModel> {
    let folder = folder.ok_or_else(|| missing(index))?;
    let stored = fitted_model::at(site.store.as_ref(), &folder).await;
    let stored = stored.map_err(|e| if e.kind() == ErrorKind::NotFound { missing(index) } else { e })?;
    blocking::compute(move || LoadedModel::read(&stored.files, stored.dataset).map_err(Error::from)).await
}

/// Asks the final model that the report of a run names about viewers of its dataset.
///
/// # Errors
/// As [`of_run`], and those of `ask`.
pub async fn of_known<T: Send + 'static>(
    site: &Site,
    index: &RunIndex,
    folder: Option<String>,
    ask: impl FnOnce(&mut KnownViewers) -> Result<T> + Send + 'static,
) -> Result<T> {
    let place = folder.clone().ok_or_else(|| missing(index))?;
    let held = match site.models.find(&place) {
        Some(held) => held,
        None => {
            let model = of_run(site, index, folder).await?;
            let opened = blocking::compute(move || {
                let (kind, name, viewers) = (model.default_kind(), name(&model), model.dataset().users.len() as u32);
                let input = SessionInput { user: Some(0), ..SessionInput::default() };
                Ok(KnownViewers::new(name, viewers, model.session(input, kind)?))
            });
            site.models.hold(place, opened.await?)
        }
    };
    blocking::compute(move || ask(&mut held.lock().unwrap_or_else(PoisonError::into_inner))).await
}

/// Returns the name of the model that answers by default.
pub fn name(model: &LoadedModel) -> String {
    match (model.default_kind(), &model.description.network) {
        (ModelKind::Network, Some(network)) => network.cell.model.name().to_owned(),
        _ => "ensemble".to_owned(),
    }
}

fn missing(index: &RunIndex) -> Error {
    Error::not_found(format!(
        "the run {} has no final model yet: a run fits it before it writes its report, if its dataset has ratings",
        index.plan.spec.id
    ))
}
