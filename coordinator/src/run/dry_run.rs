//! What a run would do and why, without doing it: `submit --dry-run`.

use std::collections::{BTreeMap, BTreeSet};

use jhalak_common::Result;
use jhalak_common::artifact::{self, ArtifactKey, ArtifactKind, Recipe, Subject};
use jhalak_common::run::quarantine_key;
use jhalak_common::store::ObjectStore;
use serde::Serialize;

use crate::artifacts::embedding_tables::{self, GatheredTable};
use crate::plan::Plan;
use crate::run::jobs::Jobs;
use crate::run::missing;
use crate::run::stages;

/// Jobs that are told one by one in words.
const TOLD: usize = 20;

/// What a run would do.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// The run.
    pub run: String,
    /// Trailers of the dataset.
    pub trailers: usize,
    /// Extraction jobs that would be sent.
    pub extract: Vec<WouldRun>,
    /// Extraction jobs that the run gave up before: `jhalak retry` lets them be tried again.
    pub given_up: usize,
    /// Folds of cells that would be trained, and the final model, as far as can be told now.
    pub train: Vec<WouldRun>,
    /// Why `train` may grow: tables of embeddings come from extractions that are still to be done.
    pub train_depends: Option<String>,
    /// Commit records that would be removed, so that their artifacts are made again.
    pub retracted: Vec<String>,
}

/// A job and the reasons for it.
#[derive(Debug, Serialize)]
pub struct WouldRun {
    /// Its id.
    pub job: String,
    /// What it is about, in words.
    pub about: String,
    /// What it would make, each with the reason.
    pub makes: Vec<Reason>,
}

/// Why an artifact would be made.
#[derive(Debug, Serialize)]
pub struct Reason {
    /// What.
    pub kind: ArtifactKind,
    /// Why, in words.
    pub why: &'static str,
}

const NEW: &str = "no artifact of this kind is stored for this trailer's content";
const OTHER_RECIPE: &str = "stored under another recipe only: a setting, a model or what it is made from has changed";
const AGAIN: &str = "asked to be made again";
const NO_RESULT: &str = "no result is committed";

/// Looks what the run would do. `again` are the artifacts that were asked to be made again.
pub async fn explain(store: &dyn ObjectStore, plan: &Plan, again: &[ArtifactKey]) -> Result<Explanation> {
    let again: BTreeSet<&ArtifactKey> = again.iter().collect();
    let mut miss = missing::of_trailers(store, plan).await?;
    for (trailer, missing) in plan.trailers.trailers.iter().zip(&mut miss) {
        for (bit, recipe) in plan.spec.recipes.iter().enumerate() {
            if !again.is_empty() && again.contains(&ArtifactKey::new(recipe, &trailer.subject)) {
                *missing |= 1 << bit;
            }
        }
    }
    let mut jobs = Jobs::extractions(plan, store.url(), &miss);
    let quarantined = missing::quarantine_keys(store, &plan.spec.id).await?;
    let before = jobs.len();
    jobs.retain(|id| !quarantined.contains(&quarantine_key(&plan.spec.id, id)));
    let given_up = before - jobs.len();
    let stored = stored_of_any_recipe(store, plan).await?;
    let extract: Vec<WouldRun> = (0..jobs.len())
        .map(|i| {
            let reason = |key: &ArtifactKey| {
                let known =
                    stored.get(&key.kind).is_some_and(|set| set.contains(&ArtifactKey::subject_folder(&key.subject)));
                Reason {
                    kind: key.kind,
                    why: if again.contains(key) {
                        AGAIN
                    } else if known {
                        OTHER_RECIPE
                    } else {
                        NEW
                    },
                }
            };
            WouldRun { job: jobs.id(i), about: jobs.about(i), makes: jobs.artifacts(i).iter().map(reason).collect() }
        })
        .collect();

    let mut tables: Vec<GatheredTable> = Vec::new();
    let mut tables_missing = false;
    for (table, source) in embedding_tables::sources(plan) {
        if let Some((key, found)) = embedding_tables::find(store, plan, table, source).await? {
            tables_missing |= found.is_none() || again.contains(&key);
            tables.extend(found);
        }
    }
    let (tasks, _) = missing::cell_tasks(plan, &tables)?;
    let is_again = |recipe: &Recipe, dataset: &Subject| again.contains(&ArtifactKey::new(recipe, dataset));
    let (redo, rest): (Vec<_>, Vec<_>) = tasks.into_iter().partition(|task| is_again(&task.recipe, &task.dataset));
    let open = missing::of_cells(store, rest).await?;
    let (fit_again, fit_open) = match stages::fit_task(plan, &tables)? {
        Some(task) if is_again(&task.recipe, &task.dataset) => (Some(task), None),
        Some(task) if missing::all_committed(store, vec![ArtifactKey::new(&task.recipe, &task.dataset)]).await? => {
            (None, None)
        }
        task => (None, task),
    };
    let mut train = Vec::new();
    for (fit, tasks, why) in [(fit_again, redo, AGAIN), (fit_open, open, NO_RESULT)] {
        let mut jobs = Jobs::training(plan, store.url(), fit, tasks);
        jobs.retain(|id| !quarantined.contains(&quarantine_key(&plan.spec.id, id)));
        train.extend((0..jobs.len()).map(|i| WouldRun {
            job: jobs.id(i),
            about: jobs.about(i),
            makes: jobs.wanted(i).iter().map(|recipe| Reason { kind: recipe.kind, why }).collect(),
        }));
    }
    let train_depends = (!extract.is_empty() || tables_missing).then(|| {
        "cells that read embeddings are trained again where the table of embeddings comes out another than the one that is stored".to_string()
    });
    let retracted = again.iter().map(|key| key.commit()).collect();
    Ok(Explanation {
        run: plan.spec.id.clone(),
        trailers: plan.trailers.trailers.len(),
        extract,
        given_up,
        train,
        train_depends,
        retracted,
    })
}

/// The subjects' folders of everything stored of the run's kinds, of whatever recipe.
async fn stored_of_any_recipe(
    store: &dyn ObjectStore,
    plan: &Plan,
) -> Result<BTreeMap<ArtifactKind, BTreeSet<String>>> {
    let mut found: BTreeMap<ArtifactKind, BTreeSet<String>> = BTreeMap::new();
    for recipe in &plan.spec.recipes {
        if found.contains_key(&recipe.kind) {
            continue;
        }
        let mut subjects = BTreeSet::new();
        artifact::each_committed_of_kind(store, recipe.kind, |subject| {
            subjects.insert(subject.to_string());
        })
        .await?;
        found.insert(recipe.kind, subjects);
    }
    Ok(found)
}

impl Explanation {
    /// For people.
    pub fn text(&self) -> String {
        let mut text = format!(
            "run {}\n  extract  {} of {} trailers{}\n",
            self.run,
            self.extract.len(),
            self.trailers,
            match self.given_up {
                0 => String::new(),
                n => format!(", {n} more were given up before: jhalak retry {} lets them be tried again", self.run),
            }
        );
        for (count, kind, why) in counted(&self.extract) {
            text.push_str(&format!("           {count} x {}: {why}\n", kind.name()));
        }
        for job in self.extract.iter().take(TOLD) {
            let kinds: Vec<&str> = job.makes.iter().map(|reason| reason.kind.name()).collect();
            text.push_str(&format!("             {}: {}\n", job.about, kinds.join(", ")));
        }
        if self.extract.len() > TOLD {
            text.push_str(&format!("             and {} more: --json lists them all\n", self.extract.len() - TOLD));
        }
        text.push_str(&format!("  train    {} jobs\n", self.train.len()));
        for (count, kind, why) in counted(&self.train) {
            text.push_str(&format!("           {count} x {}: {why}\n", kind.name()));
        }
        text.extend(self.train_depends.iter().map(|why| format!("           {why}\n")));
        if !self.retracted.is_empty() {
            text.push_str(&format!(
                "  remove   {} commit records, so that their artifacts are made again\n",
                self.retracted.len()
            ));
        }
        text + "nothing was sent, written or removed"
    }
}

fn counted(jobs: &[WouldRun]) -> Vec<(usize, ArtifactKind, &'static str)> {
    let mut counts: BTreeMap<(ArtifactKind, &'static str), usize> = BTreeMap::new();
    for reason in jobs.iter().flat_map(|job| &job.makes) {
        *counts.entry((reason.kind, reason.why)).or_default() += 1;
    }
    counts.into_iter().map(|((kind, why), count)| (count, kind, why)).collect()
}
