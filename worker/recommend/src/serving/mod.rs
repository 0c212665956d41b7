//! The final model: fitted on every rating of a dataset, stored, loaded, and queried by one viewer.
//!
//! There are two models. The [network] is the paper's classifier or ANN over one modality, stored
//! as safetensors and ONNX. The stacked [ensemble](crate::ensemble) uses all features and is the
//! default. With either, a label never helps to predict itself: a rating of the viewer is removed
//! before its movie is predicted.
//!
//! Start reading at [`LoadedModel`] and [`ViewerSession`].

mod all_viewers;
mod description;
mod export;
mod files;
mod fit;
mod loaded_model;
mod network;
mod ranked;
mod reasons;
#[cfg(test)]
mod tests;
mod viewer_session;

pub use all_viewers::ViewerList;
pub use description::{Card, Description, NetworkDescription};
pub use files::{Check, Files, MODEL, encode};
pub use fit::{FitRequest, fit_all};
pub use loaded_model::{LoadedModel, SessionInput};
pub use network::{FittedNetwork, fit_network};
pub use ranked::{RankBy, RankedMovie, doubt};
pub use reasons::{Explanation, GenreReason, Neighbour, SharedViewers};
pub use viewer_session::{ModelKind, ViewerSession};
