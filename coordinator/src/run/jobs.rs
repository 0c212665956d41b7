//! The jobs of one stage. Extraction jobs are built when they are sent: until then a hundred
//! thousand of them take a few bytes each.

use std::borrow::Cow;
use std::cmp::Reverse;

use jhalak_common::artifact::{ArtifactKey, Recipe, Subject};
use jhalak_common::evaluation::Model;
use jhalak_common::queue::WorkKind;
use jhalak_common::run::job::{CellTask, ExtractTask, FitTask, Job, Task, Trailer};

use crate::plan::Plan;
use crate::plan::trailer_shards::SHARD;
use crate::run::missing::RecipeSet;

/// The cost of the final model: several ensembles on all ratings, against [`effort`]'s 100 for one
/// fold.
const FIT_COST: u64 = 200;

/// The jobs that a stage sends, by index.
pub struct Jobs<'a> {
    plan: &'a Plan,
    store: String,
    list: List,
}

enum List {
    /// One for each trailer that lacks artifacts.
    Extractions(Vec<Extraction>),
    /// The id and the task of each job.
    Training(Vec<(String, Task)>),
}

/// The extraction of one trailer.
struct Extraction {
    /// The index of the trailer in the plan.
    trailer: u32,
    /// The recipes that it lacks.
    missing: RecipeSet,
    /// Bytes of its file.
    size: u64,
}

impl<'a> Jobs<'a> {
    /// Lists one job for each trailer that lacks an artifact, given `missing` by the trailer's
    /// index in the plan. Within a shard of the plan the largest files come first, so that no
    /// worker is left with a long one when the others are idle.
    pub fn extractions(plan: &'a Plan, store: String, missing: &[RecipeSet]) -> Self {
        let trailers = (0u32..).zip(plan.trailers.trailers.scan()).zip(missing).filter(|(_, missing)| **missing != 0);
        let extraction = |((trailer, of), missing): ((u32, Cow<'_, Trailer>), &RecipeSet)| Extraction {
            trailer,
            missing: *missing,
            size: of.size,
        };
        let mut list: Vec<Extraction> = trailers.map(extraction).collect();
        list.sort_by_key(|job| (job.trailer as usize / SHARD, Reverse(job.size)));
        Jobs { plan, store, list: List::Extractions(list) }
    }

    /// Lists the job of the final model, if any, and one job for each fold, longest first.
    pub fn training(plan: &'a Plan, store: String, fit: Option<FitTask>, mut cells: Vec<CellTask>) -> Self {
        cells.sort_by_key(|task| Reverse(effort(task)));
        let fit = fit.map(|task| (fit_id(&task), Task::Fit(Box::new(task))));
        let cells = cells.into_iter().map(|task| (cell_id(&task), Task::Cell(Box::new(task))));
        let list = fit.into_iter().chain(cells).collect();
        Jobs { plan, store, list: List::Training(list) }
    }

    /// The number of jobs.
    pub fn len(&self) -> usize {
        match &self.list {
            List::Extractions(list) => list.len(),
            List::Training(list) => list.len(),
        }
    }

    /// Whether there are no jobs.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The kind of work, which names the queue.
    pub fn kind(&self) -> WorkKind {
        match self.list {
            List::Extractions(_) => WorkKind::Extract,
            List::Training(_) => WorkKind::Train,
        }
    }

    /// Keeps the jobs whose id `keep` accepts.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        let plan = self.plan;
        match &mut self.list {
            List::Extractions(list) => list.retain(|job| keep(&extraction_id(&trailer_of(plan, job).subject))),
            List::Training(list) => list.retain(|(id, _)| keep(id)),
        }
    }

    /// The id of job `i`: the same work has the same id in every plan.
    pub fn id(&self, i: usize) -> String {
        match &self.list {
            List::Extractions(list) => extraction_id(&trailer_of(self.plan, &list[i]).subject),
            List::Training(list) => list[i].0.clone(),
        }
    }

    /// The approximate cost of job `i`, relative to other jobs of the stage, above 0.
    pub fn cost(&self, i: usize) -> u64 {
        match &self.list {
            // Opening a file and running the models costs about as much as decoding a megabyte.
            List::Extractions(list) => list[i].size + (1 << 20),
            List::Training(list) => match &list[i].1 {
                Task::Cell(task) => 1 + effort(task) as u64,
                _ => FIT_COST,
            },
        }
    }

    /// The trailer or the fold of job `i`, for people.
    pub fn about(&self, i: usize) -> String {
        match &self.list {
            List::Extractions(list) => {
                let trailer = trailer_of(self.plan, &list[i]);
                format!("trailer of {} ({})", trailer.subject.id, trailer.key)
            }
            List::Training(list) => match &list[i].1 {
                Task::Cell(task) => format!("{}, fold {}", task.cell.name(), task.fold),
                _ => "the final model".to_owned(),
            },
        }
    }

    /// The index of the trailer of job `i` in the plan; None for training.
    pub fn trailer(&self, i: usize) -> Option<usize> {
        match &self.list {
            List::Extractions(list) => Some(list[i].trailer as usize),
            List::Training(_) => None,
        }
    }

    /// The recipes of the artifacts that job `i` makes, upstream before downstream.
    fn recipes(&self, i: usize) -> Vec<&Recipe> {
        match &self.list {
            List::Extractions(list) => {
                let recipes = self.plan.spec.recipes.iter().enumerate();
                recipes.filter(|(bit, _)| list[i].missing & (1 << bit) != 0).map(|(_, recipe)| recipe).collect()
            }
            List::Training(list) => list[i].1.recipes(),
        }
    }

    /// The artifacts that exist once job `i` is committed.
    pub fn artifacts(&self, i: usize) -> Vec<ArtifactKey> {
        match &self.list {
            List::Extractions(list) => {
                let subject = trailer_of(self.plan, &list[i]).subject;
                self.recipes(i).into_iter().map(|recipe| ArtifactKey::new(recipe, &subject)).collect()
            }
            List::Training(list) => list[i].1.artifacts(),
        }
    }

    /// The message of job `i`.
    pub fn build(&self, i: usize) -> Job {
        let task = match &self.list {
            List::Extractions(list) => Task::Extract(ExtractTask {
                trailer: trailer_of(self.plan, &list[i]),
                wanted: self.recipes(i).into_iter().cloned().collect(),
            }),
            List::Training(list) => list[i].1.clone(),
        };
        Job::new(self.id(i), &self.plan.spec.id, &self.store, task)
    }
}

fn trailer_of(plan: &Plan, job: &Extraction) -> Trailer {
    plan.trailers.trailers.get(job.trailer as usize).expect("jobs are made of the plan's trailers")
}

/// Returns the id of the job that extracts a trailer.
pub fn extraction_id(trailer: &Subject) -> String {
    format!("extract-{}", ArtifactKey::subject_folder(trailer))
}

/// Returns the id of the job of a fold.
pub fn cell_id(task: &CellTask) -> String {
    format!("cell-{}-{}", task.recipe.hash().short(), task.fold)
}

/// Returns the id of the job of a final model.
pub fn fit_id(task: &FitTask) -> String {
    format!("fit-{}", task.recipe.hash().short())
}

/// The approximate duration of a fold, relative to other folds.
fn effort(task: &CellTask) -> usize {
    let modalities = task.cell.modality.tables().len().max(1);
    match task.cell.model {
        Model::Ensemble => 100,
        Model::TrailerAttention => 60,
        Model::Classifier { .. } => 20 + modalities,
        Model::Ann => 10 + modalities,
        Model::MatrixFactorisation => 2,
        Model::Bias | Model::BiasClassWeighted => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::plan;
    use crate::run::tasks;

    #[test]
    fn extraction_jobs_ask_for_the_missing_artifacts_alone_largest_file_first() {
        let plan = plan(3);
        let jobs = Jobs::extractions(&plan, "file:///store".into(), &[0b101, 0, 0b010]);
        assert_eq!((jobs.len(), jobs.kind()), (2, WorkKind::Extract));
        assert_eq!((jobs.trailer(0), jobs.trailer(1)), (Some(2), Some(0)));
        let job = jobs.build(1);
        assert_eq!((job.id.as_str(), job.attempt), (jobs.id(1).as_str(), 0));
        let kinds: Vec<_> = job.task.artifacts().iter().map(|key| key.kind.name()).collect();
        assert_eq!(kinds, ["keyframes", "audio-embedding"]);
        assert_eq!(job.task.artifacts(), jobs.artifacts(1));
    }

    #[test]
    fn the_same_work_has_the_same_id_whatever_else_is_missing() {
        let plan = plan(2);
        let one = Jobs::extractions(&plan, "file:///store".into(), &[0b111, 0b111]);
        let other = Jobs::extractions(&plan, "file:///store".into(), &[0b001, 0]);
        assert_eq!(one.id(1), other.id(0));
    }

    #[test]
    fn training_starts_with_the_final_model_and_the_longest_folds() {
        let plan = plan(0);
        let cells = tasks::cell_tasks(&plan, &[]).expect("a plan").tasks;
        let mut longer = cells[0].clone();
        longer.cell.model = Model::Ensemble;
        let longest = longer.cell.name();
        let fit = tasks::fit_task(&plan, &[]).expect("a plan");
        let jobs = Jobs::training(&plan, "file:///store".into(), fit, vec![cells[0].clone(), longer, cells[1].clone()]);
        assert_eq!((jobs.len(), jobs.kind(), jobs.trailer(0)), (4, WorkKind::Train, None));
        assert!(jobs.id(0).starts_with("fit-") && jobs.about(1).contains(&longest), "{}", jobs.about(1));
    }

    #[test]
    fn rejected_jobs_are_removed() {
        let plan = plan(3);
        let mut jobs = Jobs::extractions(&plan, "file:///store".into(), &[1, 1, 1]);
        let rejected = jobs.id(0);
        jobs.retain(|id| id != rejected);
        assert_eq!((jobs.len(), jobs.trailer(0)), (2, Some(1)));
    }
}
