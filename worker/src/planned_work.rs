//! The work that a run plans: a message that names any other is not believed.

use std::collections::BTreeSet;
use std::sync::Arc;

use jhalak_common::artifact::Recipe;
use jhalak_common::evaluation::CellSpec;
use jhalak_common::hash::Hash;
use jhalak_common::run::job::Task;
use jhalak_common::run::{RunSpec, SPECIFICATION, run_key};
use jhalak_common::store::ObjectStore;
use jhalak_common::{ErrorKind, Result, run};

/// What the store says about the plan of a run.
#[derive(Clone)]
pub enum Planned {
    /// There is no specification: no coordinator has planned the run.
    No,
    /// There is one.
    Yes(Arc<PlannedWork>),
}

impl Planned {
    /// Reads the specification of a run.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn read(store: &dyn ObjectStore, run: &str) -> Result<Planned> {
        let work = match run::get_json::<RunSpec>(store, &run_key(run, SPECIFICATION)).await {
            Ok(Some(spec)) => PlannedWork {
                recipes: spec.recipes.iter().map(Recipe::hash).collect(),
                cells: spec.cells,
                fits: spec.fit.is_some(),
                is_unreadable: false,
            },
            Ok(None) => return Ok(Planned::No),
            Err(e) if e.kind() == ErrorKind::InvalidInput => {
                PlannedWork { recipes: BTreeSet::new(), cells: Vec::new(), fits: false, is_unreadable: true }
            }
            Err(e) => return Err(e),
        };
        Ok(Planned::Yes(Arc::new(work)))
    }
}

/// The work that a run plans.
pub struct PlannedWork {
    recipes: BTreeSet<Hash>,
    cells: Vec<CellSpec>,
    fits: bool,
    /// The specification cannot be read here, such as one of a newer program: jobs are believed.
    is_unreadable: bool,
}

impl PlannedWork {
    /// Whether a run with this plan has the task. Which trailers and tables it has is not compared.
    pub fn has(&self, task: &Task) -> bool {
        self.is_unreadable
            || match task {
                Task::Extract(task) => task.wanted.iter().all(|recipe| self.recipes.contains(&recipe.hash())),
                Task::Cell(task) => self.cells.contains(&task.cell),
                Task::Fit(_) => self.fits,
                Task::Probe(_) => true,
            }
    }
}
