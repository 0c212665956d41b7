//! Describes what a run would do and why, without doing it: `submit --dry-run`.

use std::collections::{BTreeMap, BTreeSet};

use jhalak_common::Result;
use jhalak_common::artifact::{self, ArtifactKey, ArtifactKind};
use jhalak_common::counted::counted;
use jhalak_common::store::ObjectStore;
use serde::Serialize;

use crate::artifacts::embedding_tables::{self, GatheredTable};
use crate::plan::Plan;
use crate::run::jobs::Jobs;
use crate::run::remaining;

/// Maximum number of jobs that the text lists one by one.
const MAX_LISTED: usize = 20;

/// The work that a run would do.
#[derive(Debug, Serialize)]
pub struct DryRun {
    /// The id of the run.
    pub run: String,
    /// The number of trailers of the dataset.
    pub trailers: usize,
    /// The extraction jobs that the run would send.
    pub extract: Vec<PlannedJob>,
    /// The number of quarantined extraction jobs; `jhalak retry` makes the run send them again.
    pub given_up: usize,
    /// The training jobs that the run would send, as far as the store shows them now.
    pub train: Vec<PlannedJob>,
    /// Why `train` may grow: tables of embeddings depend on extractions that remain.
    pub train_depends: Option<String>,
    /// The keys of the commit records that the run would remove, so that their artifacts are made
    /// again.
    pub retracted: Vec<String>,
}

/// A job that the run would send.
#[derive(Debug, Serialize)]
pub struct PlannedJob {
    /// The id of the job.
    pub job: String,
    /// The trailer or the fold, for people.
    pub about: String,
    /// The artifacts that the job would make, each with the reason.
    pub makes: Vec<Reason>,
}

/// Why an artifact would be made.
#[derive(Debug, Serialize)]
pub struct Reason {
    /// The kind of artifact.
    pub kind: ArtifactKind,
    /// The reason.
    pub why: &'static str,
}

const NEW: &str = "no artifact of this kind is stored for this trailer's content";
const OTHER_RECIPE: &str = "stored under another recipe only: a setting, a model or an input has changed";
const AGAIN: &str = "requested again with --reprocess";
const NO_RESULT: &str = "no result is committed";

/// Computes what the run would do. Artifacts in `again` are to be made again although they are
/// committed.
pub async fn describe(store: &dyn ObjectStore, plan: &Plan, again: &[ArtifactKey]) -> Result<DryRun> {
    let again: BTreeSet<ArtifactKey> = again.iter().cloned().collect();
    let extraction = remaining::extraction(store, plan, &again).await?;
    let stored = stored_of_any_recipe(store, plan).await?;
    let extract = planned(&extraction.jobs, |key| {
        let is_stored = |set: &BTreeSet<String>| set.contains(&ArtifactKey::subject_folder(&key.subject));
        if again.contains(key) {
            AGAIN
        } else if stored.get(&key.kind).is_some_and(is_stored) {
            OTHER_RECIPE
        } else {
            NEW
        }
    });
    let mut tables: Vec<GatheredTable> = embedding_tables::given(store, plan).await?;
    let mut tables_missing = tables.len() < plan.spec.given.len();
    for (table, source) in plan.embeddings() {
        if let Some((key, found)) = embedding_tables::find(store, plan, table, source).await? {
            tables_missing |= found.is_none() || again.contains(&key);
            tables.extend(found);
        }
    }
    let training = remaining::training(store, plan, &tables, &again).await?;
    let train = planned(&training.jobs, |key| if again.contains(key) { AGAIN } else { NO_RESULT });
    let train_depends = (!extract.is_empty() || tables_missing).then(|| {
        "cells that read embeddings are trained again if their table of embeddings differs from the stored one"
            .to_string()
    });
    Ok(DryRun {
        run: plan.spec.id.clone(),
        trailers: plan.trailers.trailers.len(),
        extract,
        given_up: extraction.quarantined,
        train,
        train_depends,
        retracted: again.iter().map(ArtifactKey::commit).collect(),
    })
}

fn planned(jobs: &Jobs<'_>, why: impl Fn(&ArtifactKey) -> &'static str) -> Vec<PlannedJob> {
    let job = |i| {
        let makes = jobs.artifacts(i).iter().map(|key| Reason { kind: key.kind, why: why(key) }).collect();
        PlannedJob { job: jobs.id(i), about: jobs.about(i), makes }
    };
    (0..jobs.len()).map(job).collect()
}

/// The folders of all subjects that are stored under any recipe, for each kind of artifact that the
/// run makes.
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

impl DryRun {
    /// The answer as text.
    pub fn text(&self) -> String {
        let mut text = format!(
            "run {}\n  extract  {} of {}{}\n",
            self.run,
            self.extract.len(),
            counted(self.trailers as u64, "trailer"),
            match self.given_up {
                0 => String::new(),
                n => format!(", {n} more are quarantined: jhalak retry {} makes the run send them again", self.run),
            }
        );
        for (count, kind, why) in by_reason(&self.extract) {
            text.push_str(&format!("           {count} x {}: {why}\n", kind.name()));
        }
        for job in self.extract.iter().take(MAX_LISTED) {
            let kinds: Vec<&str> = job.makes.iter().map(|reason| reason.kind.name()).collect();
            text.push_str(&format!("             {}: {}\n", job.about, kinds.join(", ")));
        }
        if self.extract.len() > MAX_LISTED {
            text.push_str(&format!(
                "             and {} more: --json lists them all\n",
                self.extract.len() - MAX_LISTED
            ));
        }
        text.push_str(&format!("  train    {}\n", counted(self.train.len() as u64, "job")));
        for (count, kind, why) in by_reason(&self.train) {
            text.push_str(&format!("           {count} x {}: {why}\n", kind.name()));
        }
        text.extend(self.train_depends.iter().map(|why| format!("           {why}\n")));
        if !self.retracted.is_empty() {
            text.push_str(&format!(
                "  remove   {}, so that their artifacts are made again\n",
                counted(self.retracted.len() as u64, "commit record")
            ));
        }
        text + "nothing was sent, written or removed"
    }
}

fn by_reason(jobs: &[PlannedJob]) -> Vec<(usize, ArtifactKind, &'static str)> {
    let mut counts: BTreeMap<(ArtifactKind, &'static str), usize> = BTreeMap::new();
    for reason in jobs.iter().flat_map(|job| &job.makes) {
        *counts.entry((reason.kind, reason.why)).or_default() += 1;
    }
    counts.into_iter().map(|((kind, why), count)| (count, kind, why)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::testing::{Bench, commit_one, plan};

    fn reasons(dry_run: &DryRun, trailer: &str) -> Vec<(ArtifactKind, &'static str)> {
        let job = dry_run.extract.iter().find(|job| job.about.contains(trailer)).expect("a job");
        job.makes.iter().map(|reason| (reason.kind, reason.why)).collect()
    }

    #[tokio::test]
    async fn each_artifact_has_the_reason_why_it_would_be_made() {
        let bench = Bench::new();
        let plan = plan(2);
        let recipes = &plan.spec.recipes;
        let [first, second] = [0, 1].map(|i| &plan.trailers.trailers[i].subject);
        let mut other_recipe = recipes[0].clone();
        other_recipe.params = serde_json::json!({ "count": 8 });
        commit_one(bench.store.as_ref(), &other_recipe, first).await;
        for recipe in recipes {
            commit_one(bench.store.as_ref(), recipe, second).await;
        }
        let again = [ArtifactKey::new(&recipes[2], second)];
        let dry_run = describe(bench.store.as_ref(), &plan, &again).await.expect("a readable store");
        assert_eq!(
            reasons(&dry_run, "m0"),
            [
                (ArtifactKind::Keyframes, OTHER_RECIPE),
                (ArtifactKind::VideoEmbedding, NEW),
                (ArtifactKind::AudioEmbedding, NEW)
            ]
        );
        assert_eq!(reasons(&dry_run, "m1"), [(ArtifactKind::AudioEmbedding, AGAIN)]);
        assert_eq!(dry_run.retracted, [again[0].commit()]);
        assert!(dry_run.train_depends.is_some());
    }

    #[tokio::test]
    async fn a_dry_run_writes_and_sends_nothing() {
        let bench = Bench::with_workers();
        let plan = plan(2);
        bench.drive(&plan).await;
        let before = bench.commits().await;
        let again = [ArtifactKey::new(&plan.spec.recipes[0], &plan.trailers.trailers[0].subject)];
        let dry_run = describe(bench.store.as_ref(), &plan, &again).await.expect("a readable store");
        assert_eq!(dry_run.extract.len(), 1);
        assert_eq!(bench.commits().await, before);
    }

    #[tokio::test]
    async fn the_text_lists_a_limited_number_of_jobs_and_counts_the_rest() {
        let bench = Bench::new();
        let plan = plan(MAX_LISTED + 5);
        let text = describe(bench.store.as_ref(), &plan, &[]).await.expect("a readable store").text();
        assert_eq!(text.matches("trailer of").count(), MAX_LISTED, "{text}");
        assert!(text.contains("and 5 more") && text.contains("25 of 25 trailers"), "{text}");
    }
}
