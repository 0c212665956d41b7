//! Final models that were read: each answers questions about the viewers of its dataset.

use std::sync::{Arc, Mutex, PoisonError};

use jhalak_common::Result;
use jhalak_worker::recommend::serving::ViewerSession;

/// Models that are held.
const MAX_HELD: usize = 2;

/// A model that answers questions about the viewers of its dataset: refitted once, for all of them.
pub struct KnownViewers {
    /// The name of what answers: `ensemble`, `classifier` or `ann`.
    pub name: String,
    /// The number of the dataset's viewers.
    pub viewers: u32,
    session: ViewerSession,
}

/// A model that several requests share.
type Shared = Arc<Mutex<KnownViewers>>;

/// The models that are held, by their folders, the last one used at the end.
#[derive(Default)]
pub struct Held(Mutex<Vec<(String, Shared)>>);

impl KnownViewers {
    /// Wraps a session over the dataset of the fit.
    pub fn new(name: String, viewers: u32, session: ViewerSession) -> KnownViewers {
        KnownViewers { name, viewers, session }
    }

    /// Turns to a viewer.
    pub fn of(&mut self, user: u32) -> Result<&mut ViewerSession> {
        self.session.turn_to(user)?;
        Ok(&mut self.session)
    }

    /// Returns the session for questions that name their viewers.
    pub fn session(&mut self) -> &mut ViewerSession {
        &mut self.session
    }
}

impl Held {
    /// Returns the model of a folder.
    pub fn find(&self, folder: &str) -> Option<Shared> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = held.iter().position(|(known, _)| known == folder)?;
        let found = held.remove(place);
        held.push(found.clone());
        Some(found.1)
    }

    /// Holds a model, in place of the one used longest ago.
    pub fn hold(&self, folder: String, model: KnownViewers) -> Shared {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let model = Arc::new(Mutex::new(model));
        held.push((folder, model.clone()));
        if held.len() > MAX_HELD {
            held.remove(0);
        }
        model
    }
}
