//! The history of a user, as weights of movies.

use crate::CLASSES;
use crate::time_order::TimeOrder;
use jhalak_common::dataset::Dataset;

/// A user's history: movies with their weights, below 0 for those that speak against others.
pub type History = Vec<(u32, f32)>;

/// How ratings become weights.
#[derive(Clone, Copy, Debug)]
pub struct Weighing {
    /// The weight of each class.
    pub classes: [f32; CLASSES],
    /// Ratings after which the weight of a rating has halved, if it fades.
    pub half_life: Option<f32>,
    /// The share of a weight that never fades.
    pub stays: f32,
}

impl Weighing {
    /// Likes alone, all alike.
    pub const LIKES: Self = Self { classes: [0.0, 0.0, 1.0], half_life: None, stays: 1.0 };
    /// Watched movies, likes weighted most, nothing faded: the data that weights between movies are
    /// learned from.
    pub const GRADED: Self = Self { classes: [0.0, 0.3, 1.0], half_life: None, stays: 1.0 };
    /// The history that those weights are applied to: recent ratings most, and dislikes against the
    /// movies that share viewers with theirs.
    pub const RECENT: Self = Self { classes: [-0.4, 0.2, 1.0], half_life: Some(6.0), stays: 0.1 };
}

/// Returns the history of each user from the ratings `known` (indexes, sorted), oldest first if the
/// dataset has times. Ratings fade only then.
pub fn histories(dataset: &Dataset, known: &[u32], weighing: Weighing) -> Vec<History> {
    let mut histories = vec![Vec::new(); dataset.users.len()];
    let order = TimeOrder::of(dataset);
    let user = |pair: &u32| dataset.ratings[*pair as usize].user;
    for own in known.chunk_by(|a, b| user(a) == user(b)) {
        let of = user(&own[0]) as usize;
        let mut own = own.to_vec();
        if let Some(order) = &order {
            order.sort(&mut own);
        }
        let count = own.len();
        histories[of] = (own.into_iter().enumerate())
            .map(|(place, pair)| {
                let rating = dataset.ratings[pair as usize];
                let age = (count - 1 - place) as f32;
                let faded = match (weighing.half_life, &order) {
                    (Some(half_life), Some(_)) => weighing.stays + (1.0 - weighing.stays) * (-age / half_life).exp2(),
                    _ => 1.0,
                };
                (rating.movie, weighing.classes[rating.label.index()] * faded)
            })
            .filter(|(_, weight)| *weight != 0.0)
            .collect();
    }
    histories
}
