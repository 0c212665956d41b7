//! `jhalak quarantine` and `jhalak retry`: jobs that were given up.

use clap::{Args, Subcommand};
use futures::TryStreamExt;
use jhalak_common::job::QuarantineRecord;
use jhalak_common::run::{self, quarantine_folder, quarantine_key};
use jhalak_common::settings::Settings;
use jhalak_common::store::{self, ObjectStore};
use jhalak_common::{Error, Result, exit};
use serde_json::json;

use super::Output;

/// Jobs that were given up, each with its reason.
#[derive(Args)]
pub struct Quarantine {
    #[command(subcommand)]
    command: QuarantineCommand,
}

#[derive(Subcommand)]
enum QuarantineCommand {
    /// A line a job.
    Ls {
        /// The run.
        run: String,
    },
    /// Everything known of one job.
    Show {
        /// The run.
        run: String,
        /// The job, as `ls` names it.
        job: String,
    },
}

/// Lets the jobs that a run gave up be tried again by the next `run` or `submit`.
#[derive(Args)]
pub struct Retry {
    /// The run.
    run: String,
    /// The jobs, as `quarantine ls` names them; all of them where none is named.
    jobs: Vec<String>,
}

impl Quarantine {
    pub(super) async fn execute(self, settings: Settings, output: Output) -> Result<u8> {
        let store = store::open(&settings.store, &settings.s3).await?;
        match self.command {
            QuarantineCommand::Ls { run } => {
                let records = records(store.as_ref(), &run).await?;
                let mut text: String = records
                    .iter()
                    .map(|r| format!("{}  {} attempts  {}: {}\n", r.job, r.attempts, r.about, r.reason))
                    .collect();
                if records.is_empty() {
                    text = format!("no job of the run {run} is quarantined");
                }
                output.print(&records, &text)?;
            }
            QuarantineCommand::Show { run, job } => {
                let record: Option<QuarantineRecord> =
                    run::get_json(store.as_ref(), &quarantine_key(&run, &job)).await?;
                let record = record.ok_or_else(|| {
                    Error::not_found(format!(
                        "the run {run} has no quarantined job {job}: see `jhalak quarantine ls {run}`"
                    ))
                })?;
                let message = serde_json::to_string_pretty(&record.message).unwrap_or_default();
                let text = format!(
                    "job       {}\nabout     {}\nattempts  {}\nkind      {:?}\nreason    {}\nmessage\n{message}",
                    record.job, record.about, record.attempts, record.error, record.reason
                );
                output.print(&record, &text)?;
            }
        }
        Ok(exit::DONE)
    }
}

impl Retry {
    pub(super) async fn execute(self, settings: Settings, output: Output) -> Result<u8> {
        let store = store::open(&settings.store, &settings.s3).await?;
        let records = records(store.as_ref(), &self.run).await?;
        if let Some(unknown) = self.jobs.iter().find(|job| !records.iter().any(|r| r.job == **job)) {
            return Err(Error::not_found(format!(
                "the run {} has no quarantined job {unknown}: see `jhalak quarantine ls {}`",
                self.run, self.run
            )));
        }
        let chosen: Vec<&QuarantineRecord> =
            records.iter().filter(|r| self.jobs.is_empty() || self.jobs.contains(&r.job)).collect();
        for record in &chosen {
            store.delete(&quarantine_key(&self.run, &record.job)).await?;
        }
        let text = format!("{} jobs may be tried again: start the same `run` or `submit` once more", chosen.len());
        output.print(&json!({ "run": self.run, "jobs": chosen.iter().map(|r| &r.job).collect::<Vec<_>>() }), &text)?;
        Ok(exit::DONE)
    }
}

async fn records(store: &dyn ObjectStore, run: &str) -> Result<Vec<QuarantineRecord>> {
    let keys: Vec<String> = store.list(&quarantine_folder(run)).map_ok(|o| o.key).try_collect().await?;
    let mut records = Vec::new();
    for key in keys {
        records.extend(run::get_json::<QuarantineRecord>(store, &key).await?);
    }
    Ok(records)
}
