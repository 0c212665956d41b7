//! `jhalak fit`: the final model.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use jhalak_common::artifact::{self, ArtifactKey, Body};
use jhalak_common::evaluation::{CellSpec, FitSpec, Modality, Model, Split};
use jhalak_common::process::{exit, shutdown};
use jhalak_common::run::job::FitTask;
use jhalak_common::settings::Settings;
use jhalak_common::store::{self, ObjectStore};
use jhalak_common::{Error, Result, hash::Hash};
use jhalak_worker::blocking::compute_until;
use jhalak_worker::recommend::features::embedding::{Features, TableRows};
use jhalak_worker::recommend::serving::{Files, FitRequest, fit_all};
use serde_json::json;

use super::given_embeddings;
use super::network_args::NetworkArgs;
use super::option_values::{modalities, models};
use crate::artifacts::{embeddings, fitted_model};
use crate::commands::args::DatasetArgs;
use crate::commands::{numbers, output_path};
use crate::console::output::Output;
use crate::plan::dataset_source::Source;
use crate::plan::grid;
use crate::plan::normal_form::NormalForm;

/// Fit the final model on every rating and store it
///
/// Fits a classifier or ANN (stored as safetensors and ONNX, with its feature statistics) and the stacked ensemble for
/// known viewers, new viewers and new movies. `jhalak predict` and `jhalak recommend` query the last stored model.
#[derive(Args)]
#[command(after_help = "Examples:
  # Fit with the settings of the demo
  jhalak fit --dataset .local/demo/dataset --config demo/jhalak.toml
  # Fit only the ensemble, and write it to a folder too
  jhalak fit --dataset .local/demo/dataset --no-network --out .local/model")]
pub struct Fit {
    #[command(flatten)]
    dataset: DatasetArgs,
    /// Network to fit: classifier or ann
    #[arg(
        long,
        value_parser = models(),
        default_value = "classifier",
        hide_possible_values = true,
        help_heading = "Model"
    )]
    model: Model,
    /// Movie features of the network; the ensembles read its trailers, too
    #[arg(long, value_parser = modalities(), default_value = "genre", help_heading = "Model")]
    modality: Modality,
    /// Read the trailers' embeddings from a file instead of the store; repeatable
    ///
    /// FILE is Parquet or CSV with a column of movie ids, or NumPy (.npy) with the ids in NAME.ids.txt, one per line.
    /// For
    /// --modality audio+video, give video=FILE and audio=FILE.
    #[arg(long, value_name = "[MODALITY=]FILE", help_heading = "Input")]
    embeddings: Vec<String>,
    #[command(flatten)]
    network: NetworkArgs,
    /// Skip the network
    #[arg(long, alias = "without-network", help_heading = "Model")]
    no_network: bool,
    /// Ensembles to fit, separated by commas
    #[arg(
        long,
        alias = "honest",
        value_enum,
        value_delimiter = ',',
        default_value = "pairs,movies,users",
        value_name = "LIST",
        help_heading = "Model"
    )]
    ensemble: Vec<EnsembleArg>,
    /// Seed of every random draw
    ///
    /// [default: setting evaluate.seed]
    #[arg(long, value_parser = numbers::whole::<u64>, help_heading = "Execution")]
    seed: Option<u64>,
    /// Write the model files to this folder too
    ///
    /// The folder is new or empty, or holds an earlier model, which is replaced. It can be moved anywhere;
    /// `jhalak predict --model-dir DIR` and `recommend --model-dir DIR` query it.
    #[arg(long, value_name = "DIR", value_parser = output_path::folder(), help_heading = "Output")]
    out: Option<PathBuf>,
    /// Number of fits in parallel
    ///
    /// [default: one per core]
    #[arg(long, value_name = "N", value_parser = numbers::count::<usize>, help_heading = "Execution")]
    threads: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum EnsembleArg {
    /// No ensemble
    None,
    /// For known viewers and movies
    Pairs,
    /// For movies without ratings
    Movies,
    /// For new viewers
    Users,
}

impl Fit {
    pub(in crate::commands) async fn execute(self, settings: Settings, output: Output) -> Result<u8> {
        let stopped = shutdown::on_signal()?;
        let spec = self.spec(&settings)?;
        if let Some(folder) = &self.out {
            fitted_model::check_folder(folder)?;
        }
        let source = self.dataset.read(&settings).await?;
        crate::commands::dataset::report_rejects(&source.reading, &output);
        source.reading.check_trainable()?;
        if !spec.ensembles.is_empty() {
            grid::check_ensemble(&source.reading.dataset, &settings.evaluate)
                .map_err(|e| e.context("fit with --ensemble none, or with fewer ratings"))?;
        }
        let store = store::open(&settings.store, &settings.s3).await?;
        let normal_form = NormalForm::of(&source.reading.dataset)?;
        let subject = normal_form.subject.clone();
        let dataset_bytes = bytes::Bytes::from(source.reading.dataset.canonical_json()?);
        let (features, tables) = self.trailers(store.as_ref(), &source, &settings, &output).await?;
        let recipe = FitTask::recipe_of(&spec, &tables)?;
        let key = ArtifactKey::new(&recipe, &subject);
        normal_form.keep(store.as_ref()).await?;
        let record = artifact::committed(store.as_ref(), &key).await?;
        let made = record.is_none();
        let files = match record {
            Some(record) => read(store.as_ref(), &record).await?,
            None => {
                let dataset = source.reading.dataset.clone();
                let (spec, content) = (spec.clone(), subject.content.to_string());
                let tables = tables.iter().map(ToString::to_string).collect();
                let threads = self.threads.map(|n| n.max(1));
                let threads = threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
                let bar = output.progress.steps("models", spec.parts());
                let files = compute_until(&stopped, move |stop| {
                    let request = FitRequest { dataset: &dataset, content, features: &features, tables, spec: &spec };
                    let files = fit_all(&request, threads, stop, |what| bar.step(what));
                    bar.end();
                    files
                });
                let files = files.await.map_err(|e| e.context("fit the final model"))?;
                let bodies =
                    files.iter().map(|(name, bytes)| (name.as_str(), Body::Bytes(bytes.clone().into()))).collect();
                artifact::commit(store.as_ref(), &recipe, &subject, bodies, json!({ "fit": recipe.params["fit"] }))
                    .await?;
                files
            }
        };
        fitted_model::point_to(store.as_ref(), &key, None).await?;
        if let Some(folder) = &self.out {
            fitted_model::write_folder(folder, &files, &dataset_bytes)?;
        }
        let place = format!("{}/{}", store.url().trim_end_matches('/'), key.folder());
        let written = self.out.as_ref().map(|_| (fitted_model::DATASET_FILE, dataset_bytes.len()));
        let listed = files.iter().map(|(name, bytes)| (name.as_str(), bytes.len())).chain(written);
        let sizes: Vec<_> = listed.clone().map(|(name, bytes)| json!({ "name": name, "bytes": bytes })).collect();
        let card: serde_json::Value =
            files.get("model.json").and_then(|bytes| serde_json::from_slice(bytes).ok()).unwrap_or_default();
        let mut text = if made { String::new() } else { "already fitted with these settings\n".to_owned() };
        text.push_str(&format!("model   {place}\n"));
        if let Some(folder) = &self.out {
            text.push_str(&format!("folder  {}\n", folder.display()));
        }
        for (name, bytes) in listed {
            text.push_str(&format!("        {name} ({} KiB)\n", bytes.div_ceil(1024)));
        }
        let left_out = card["left_out"].as_array().is_some_and(|parts| !parts.is_empty());
        for part in card["left_out"].as_array().into_iter().flatten() {
            let of = |name: &str| part[name].as_str().unwrap_or_default();
            text.push_str(&format!("left out  {}: {}\n", of("part"), of("reason")));
        }
        text.push_str("query it with `jhalak predict --user ID --movie MOVIE` and `jhalak recommend --user ID`");
        let answer = json!({ "model": place, "folder": self.out, "made": made, "files": sizes, "card": card });
        output.print(&answer, &text)?;
        Ok(if left_out { exit::QUARANTINED } else { exit::DONE })
    }

    /// Returns the embeddings of the modality and the hashes of their tables.
    async fn trailers(
        &self,
        store: &dyn ObjectStore,
        source: &Source,
        settings: &Settings,
        output: &Output,
    ) -> Result<(Features, Vec<Hash>)> {
        if !self.embeddings.is_empty() {
            let dataset = &source.reading.dataset;
            let (features, given) = given_embeddings::read(&self.embeddings, self.modality, dataset, output)?;
            return Ok((features, given.iter().map(|file| file.content).collect()));
        }
        let found = embeddings::read(store, source, self.modality, (TableRows::All, false), settings).await?;
        Ok((found.features, found.tables.iter().map(|table| table.sha256).collect()))
    }

    fn spec(&self, settings: &Settings) -> Result<FitSpec> {
        let seed = self.seed.unwrap_or(settings.evaluate.seed);
        if self.ensemble.contains(&EnsembleArg::None) && self.ensemble.len() > 1 {
            return Err(Error::usage("--ensemble none cannot be combined with other values"));
        }
        let network = match self.no_network {
            true => {
                if let Some(option) = self.network.first_given() {
                    return Err(Error::usage(format!("{option} has no effect with --no-network: remove one of them")));
                }
                None
            }
            false if !self.model.is_network() => {
                return Err(Error::usage(format!(
                    "{} is not a network: use --model classifier or ann; the ensemble is fitted in addition, and baselines can only be evaluated",
                    self.model.name()
                )));
            }
            false => {
                let (user_embedding, gl) = (self.network.user_embedding(), !self.network.no_gl_score);
                let mut cell = CellSpec::strict(Split::Pairs, self.modality, self.model, user_embedding, gl);
                self.network.apply(&mut cell, settings)?;
                cell.seed = seed;
                cell.check().map_err(|e| Error::usage(e.to_string()))?;
                Some(cell)
            }
        };
        let wanted = [
            (EnsembleArg::Pairs, Split::Pairs),
            (EnsembleArg::Movies, Split::Movies),
            (EnsembleArg::Users, Split::Users { known: 5 }),
        ];
        let chosen = wanted.iter().filter(|(arg, _)| self.ensemble.contains(arg));
        let ensembles: Vec<Split> = chosen.map(|(_, split)| *split).collect();
        let trailers = Some(self.modality).filter(|of| !of.tables().is_empty() && !ensembles.is_empty());
        let spec = FitSpec { network, ensembles, trailers, seed, left_out: Vec::new() };
        if spec.parts() == 0 {
            return Err(Error::usage("nothing is left to fit: remove --no-network or --ensemble none"));
        }
        Ok(spec)
    }
}

async fn read(store: &dyn ObjectStore, record: &artifact::CommitRecord) -> Result<Files> {
    let mut files = Files::new();
    for file in &record.files {
        files.insert(file.name.clone(), artifact::read_file(store, record, &file.name).await?.to_vec());
    }
    Ok(files)
}
