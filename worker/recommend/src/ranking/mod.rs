//! Ranks the movies that a user has not rated, and measures the lists.
//!
//! Classification asks whether a user likes a movie that is named. Ranking asks which of all unseen
//! movies the user later watches and likes. [`rankers`] fits the rankers, [`measures`]
//! judges a list, and [`evaluate`] does both over held-out pairs.
//!
//! Start reading at [`evaluate::evaluate`].

pub mod ease;
pub mod evaluate;
mod history;
mod inverse;
pub mod measures;
pub mod rankers;
pub mod watch;

pub use evaluate::{RankingRequest, evaluate};
pub use history::History;
pub use measures::RankingMetrics;
pub use rankers::Ranker;
pub use watch::WatchModel;
