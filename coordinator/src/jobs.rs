//! The jobs of one stage, each built when it is sent: a hundred thousand of them take a few bytes each until then.

use jhalak_common::artifact::{ArtifactKey, Recipe};
use jhalak_common::job::{CellTask, ExtractTask, FitTask, Job, MESSAGE_VERSION, Task};
use jhalak_common::queue::WorkKind;

use crate::plan::Plan;

/// Recipes of a trailer's artifacts, as bits: bit i stands for the run's recipe i.
pub type RecipeSet = u32;

/// Jobs that are to be sent, by their number.
pub struct Jobs<'a> {
    plan: &'a Plan,
    store: String,
    list: List,
}

enum List {
    /// The trailer's place in the run's list, and what it misses.
    Extractions(Vec<(u32, RecipeSet)>),
    Cells(Vec<CellTask>),
    Fits(Vec<FitTask>),
}

impl<'a> Jobs<'a> {
    /// One job for each trailer of the run that misses something: `missing` by the trailers' places.
    pub fn extractions(plan: &'a Plan, store: String, missing: &[RecipeSet]) -> Self {
        let list = (0u32..).zip(missing).filter(|(_, set)| **set != 0).map(|(trailer, set)| (trailer, *set)).collect();
        Jobs { plan, store, list: List::Extractions(list) }
    }

    /// One job for each fold.
    pub fn cells(plan: &'a Plan, store: String, tasks: Vec<CellTask>) -> Self {
        Jobs { plan, store, list: List::Cells(tasks) }
    }

    /// One job for each final model: one at most.
    pub fn fits(plan: &'a Plan, store: String, tasks: Vec<FitTask>) -> Self {
        Jobs { plan, store, list: List::Fits(tasks) }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match &self.list {
            List::Extractions(list) => list.len(),
            List::Cells(list) => list.len(),
            List::Fits(list) => list.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The queue that they go to.
    pub fn kind(&self) -> WorkKind {
        match self.list {
            List::Extractions(_) => WorkKind::Extract,
            List::Cells(_) | List::Fits(_) => WorkKind::Train,
        }
    }

    /// Keeps the jobs whose id `keep` accepts.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        let plan = self.plan;
        match &mut self.list {
            List::Extractions(list) => list.retain(|(trailer, _)| keep(&extraction_id(plan, *trailer))),
            List::Cells(list) => list.retain(|task| keep(&cell_id(task))),
            List::Fits(list) => list.retain(|task| keep(&fit_id(task))),
        }
    }

    /// The id of job `i`: the same work has the same id, whoever plans it.
    pub fn id(&self, i: usize) -> String {
        match &self.list {
            List::Extractions(list) => extraction_id(self.plan, list[i].0),
            List::Cells(list) => cell_id(&list[i]),
            List::Fits(list) => fit_id(&list[i]),
        }
    }

    /// What job `i` is about, for people.
    pub fn about(&self, i: usize) -> String {
        match &self.list {
            List::Extractions(list) => {
                let trailer = &self.plan.trailers.trailers[list[i].0 as usize];
                format!("trailer of {} ({})", trailer.subject.id, trailer.key)
            }
            List::Cells(list) => format!("{}, fold {}", list[i].cell.name(), list[i].fold),
            List::Fits(_) => "the final model".to_owned(),
        }
    }

    /// The place of job `i`'s trailer in the run's list; None for a cell.
    pub fn trailer(&self, i: usize) -> Option<usize> {
        match &self.list {
            List::Extractions(list) => Some(list[i].0 as usize),
            List::Cells(_) | List::Fits(_) => None,
        }
    }

    /// What job `i` is to make, upstream before downstream.
    pub fn wanted(&self, i: usize) -> Vec<&Recipe> {
        match &self.list {
            List::Extractions(list) => {
                let recipes = self.plan.spec.recipes.iter().enumerate();
                recipes.filter(|(bit, _)| list[i].1 & (1 << bit) != 0).map(|(_, recipe)| recipe).collect()
            }
            List::Cells(list) => vec![&list[i].recipe],
            List::Fits(list) => vec![&list[i].recipe],
        }
    }

    /// The artifacts that exist once job `i` is done.
    pub fn artifacts(&self, i: usize) -> Vec<ArtifactKey> {
        match &self.list {
            List::Extractions(list) => {
                let subject = &self.plan.trailers.trailers[list[i].0 as usize].subject;
                self.wanted(i).into_iter().map(|recipe| ArtifactKey::new(recipe, subject)).collect()
            }
            List::Cells(list) => vec![ArtifactKey::new(&list[i].recipe, &list[i].dataset)],
            List::Fits(list) => vec![ArtifactKey::new(&list[i].recipe, &list[i].dataset)],
        }
    }

    /// Job `i` as it is sent.
    pub fn build(&self, i: usize) -> Job {
        let task = match &self.list {
            List::Extractions(list) => Task::Extract(ExtractTask {
                trailer: self.plan.trailers.trailers[list[i].0 as usize].clone(),
                wanted: self.wanted(i).into_iter().cloned().collect(),
            }),
            List::Cells(list) => Task::Cell(Box::new(list[i].clone())),
            List::Fits(list) => Task::Fit(Box::new(list[i].clone())),
        };
        let run = self.plan.spec.id.clone();
        Job { version: MESSAGE_VERSION, id: self.id(i), run, store: self.store.clone(), attempt: 0, task }
    }
}

fn extraction_id(plan: &Plan, trailer: u32) -> String {
    format!("extract-{}", ArtifactKey::subject_folder(&plan.trailers.trailers[trailer as usize].subject))
}

fn cell_id(task: &CellTask) -> String {
    format!("cell-{}-{}", task.recipe.hash().short(), task.fold)
}

fn fit_id(task: &FitTask) -> String {
    format!("fit-{}", task.recipe.hash().short())
}
