//! `jhalak similar`: the trailers of a run that are nearest to a movie's trailer or to a file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use jhalak_common::artifact::embedding_file::Vectors;
use jhalak_common::artifact::table::{self, Wanted};
use jhalak_common::artifact::{self, ArtifactKey, ArtifactKind, Recipe};
use jhalak_common::dataset::{Dataset, Reject};
use jhalak_common::process::{exit, shutdown};
use jhalak_common::run::job::QuarantineRecord;
use jhalak_common::run::{self, quarantine_key, run_key};
use jhalak_common::settings::Settings;
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, ErrorKind, Result, store};
use serde::Serialize;
use serde_json::{Value, json};

use crate::artifacts::embedding_tables;
use crate::commands::known_names::find_movie;
use crate::commands::models::first_use;
use crate::commands::numbers;
use crate::commands::run_id;
use crate::commands::video_args;
use crate::console::output::Output;
use crate::extract_file::{self, Extracted};
use crate::inspect::embeddings::{Mean, cosine};
use crate::plan::{self, Plan};
use crate::report::Report;
use crate::run::jobs::extraction_id;
use crate::run::missing;

/// Find the trailers that resemble a movie's trailer or a video
///
/// Compares the embeddings of a run by cosine similarity, from -1 to 1, after their mean over the run's trailers was
/// taken away, as the report does; lists the keyframes that match best. A file is extracted as the run extracted its
/// trailers. With audio+video, the similarity is the mean of both; a trailer
/// that lacks one of the two is compared by the other.
#[derive(Args)]
#[command(after_help = "Examples:
  # Find the trailers nearest to a movie of the only run in the store
  jhalak similar tt9900001
  # Find those nearest to the sound of a file
  jhalak similar new.mp4 --modality audio --top 3")]
pub struct Similar {
    /// Movie id or title, or a video or sound file
    #[arg(value_name = "MOVIE|VIDEO")]
    what: String,
    /// Run id, or the start of one that no other run shares
    ///
    /// [default: the only run in the store]
    #[arg(long, value_name = "RUN", help_heading = "Input")]
    run: Option<String>,
    /// Embeddings to compare
    #[arg(long, value_enum, default_value = "audio+video", help_heading = "Comparison")]
    modality: ModalityArg,
    /// Number of trailers to list
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = numbers::count::<usize>, help_heading = "Output")]
    top: usize,
    /// Number of matching keyframes for each trailer
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = numbers::whole::<usize>, help_heading = "Output")]
    parts: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ModalityArg {
    /// Pictures and sound
    #[value(name = "audio+video")]
    Both,
    /// Pictures alone
    Video,
    /// Sound alone
    Audio,
}

impl ModalityArg {
    fn names(self) -> &'static [&'static str] {
        match self {
            ModalityArg::Both => &["video", "audio"],
            ModalityArg::Video => &["video"],
            ModalityArg::Audio => &["audio"],
        }
    }
}

/// A trailer with its similarity.
#[derive(Serialize)]
struct Near {
    movie: String,
    name: String,
    similarity: f64,
    /// By modality.
    by: BTreeMap<&'static str, f64>,
    /// Keyframes that match best.
    parts: Vec<Part>,
}

/// Two keyframes that match.
#[derive(Serialize)]
struct Part {
    similarity: f64,
    /// Number of the keyframe, from 0, and seconds from the first frame: of the question.
    keyframe: usize,
    time_s: Option<f64>,
    /// Of the trailer that was found.
    other_keyframe: usize,
    other_time_s: Option<f64>,
}

impl Similar {
    pub(in crate::commands) async fn execute(self, settings: Settings, output: Output) -> Result<u8> {
        let store = store::open(&settings.store, &settings.s3).await?;
        let store = store.as_ref();
        let run = run_id::find(store, self.run.as_deref()).await?;
        let plan = plan::load(store, &run).await?;
        let dataset = plan::frozen_dataset(store, &plan).await?;
        let recipes = extract_file::primary(&plan.spec.recipes);
        let file = PathBuf::from(&self.what);
        let (own, name, asked) = if file.is_file() {
            video_args::check(&file)?;
            let stop = shutdown::on_signal()?;
            first_use::fetch_missing(&settings, &first_use::of_settings(&settings)?, &output).await?;
            output.progress.say(&format!("extracting {}", file.display()));
            let extracted = extract_file::extract(&file, &recipes, &settings, &stop).await?;
            (None, self.what.clone(), extracted)
        } else {
            let movie = self.movie(&dataset, &file, &run)?;
            let stored = of_movie(store, &plan, &recipes, &dataset.movies[movie].id).await?;
            (Some(movie), dataset.movies[movie].name.clone(), stored)
        };
        if !self.modality.names().iter().any(|name| asked.embeddings.contains_key(name)) {
            let way = match asked.embeddings.keys().next() {
                Some(other) => format!("use --modality {other}"),
                None => "its trailer has neither pictures nor sound that can be compared".to_owned(),
            };
            return Err(Error::invalid(format!(
                "{} has no {} embedding: {way}",
                self.what,
                self.modality.names().join(" or ")
            )));
        }
        let own = own.map(|movie| dataset.movies[movie].id.as_str());
        let (mut near, mean) = self.nearest(store, &plan, &dataset, &asked, own).await?;
        for one in &mut near {
            let subject = plan.trailers.trailers.iter().map(|t| &t.subject).find(|subject| subject.id == one.movie);
            if let Some(subject) = subject.filter(|_| self.parts > 0 && one.by.contains_key("video")) {
                one.parts = matching(&asked, &Extracted::stored(store, &recipes, subject).await?, &mean, self.parts);
            }
        }
        let mut text = format!("nearest to {name} in the run {run}:\n");
        for (place, one) in near.iter().enumerate() {
            let by: Vec<String> = one.by.iter().map(|(modality, value)| format!("{modality} {value:.3}")).collect();
            text.push_str(&format!(
                "{:>3}. {:.3}  {} ({})  {}\n",
                place + 1,
                one.similarity,
                one.name,
                one.movie,
                by.join(", ")
            ));
            for part in &one.parts {
                let time = |time: Option<f64>| time.map_or_else(|| "?".to_owned(), |s| format!("{s:.1} s"));
                text.push_str(&format!(
                    "       {} is like its {} ({:.3})\n",
                    time(part.time_s),
                    time(part.other_time_s),
                    part.similarity
                ));
            }
        }
        if near.is_empty() {
            text.push_str("  no other trailer has such an embedding\n");
        }
        output.print(&json!({ "run": run, "nearest_to": self.what, "trailers": near }), &text)?;
        Ok(exit::DONE)
    }

    fn movie(&self, dataset: &Dataset, file: &Path, run: &str) -> Result<usize> {
        find_movie(&dataset.movies, &[], &self.what, &format!("--run {run}")).map(|index| index as usize).map_err(|e| {
            let file = if file.exists() { "it is not a file either" } else { "no such file exists either" };
            Error::invalid(format!("{e}; {file}"))
        })
    }

    /// The trailers that are most similar, the nearest first, and the mean of the video embeddings.
    async fn nearest(
        &self,
        store: &dyn ObjectStore,
        plan: &Plan,
        dataset: &Dataset,
        asked: &Extracted,
        own: Option<&str>,
    ) -> Result<(Vec<Near>, Mean)> {
        let mut video = Mean::default();
        let mut by: BTreeMap<String, BTreeMap<&'static str, f64>> = BTreeMap::new();
        for &modality in self.modality.names() {
            let Some(question) = asked.embeddings.get(modality) else { continue };
            let kind = if modality == "video" { ArtifactKind::VideoTable } else { ArtifactKind::AudioTable };
            let Some((_, source)) = plan.embeddings().find(|(table, _)| *table == kind) else { continue };
            let Some(table) = embedding_tables::gather(store, plan, kind, source).await? else { continue };
            if table.rows == 0 {
                continue;
            }
            let key = ArtifactKey { kind, recipe: table.recipe, subject: table.subject };
            let record = artifact::committed(store, &key).await?;
            let record = record.ok_or_else(|| Error::transient("a table was deleted while it was read"))?;
            let mut mean = Mean::default();
            table::each_row(store, &record, &Wanted::All, |_, vector| {
                mean.add(&vector);
                Ok(())
            })
            .await?;
            let question = mean.without(&question.mean);
            table::each_row(store, &record, &Wanted::All, |id, vector| {
                if own != Some(id.as_str()) {
                    by.entry(id).or_default().insert(modality, cosine(&question, &mean.without(&vector)));
                }
                Ok(())
            })
            .await?;
            if modality == "video" {
                video = mean;
            }
        }
        let near = |(movie, by): (String, BTreeMap<&'static str, f64>)| {
            let name = dataset.movie_index(&movie).map_or_else(|| movie.clone(), |i| dataset.movies[i].name.clone());
            let similarity = by.values().sum::<f64>() / by.len().max(1) as f64;
            Near { movie, name, similarity, by, parts: Vec::new() }
        };
        let mut near: Vec<Near> = by.into_iter().map(near).collect();
        near.sort_by(|a, b| b.similarity.total_cmp(&a.similarity).then_with(|| a.movie.cmp(&b.movie)));
        near.truncate(self.top);
        Ok((near, video))
    }
}

/// Returns what the run has of a movie's trailer.
///
/// # Errors
/// InvalidInput where it has nothing: whether the trailer was left out or quarantined, the reason, and
/// the way out.
async fn of_movie(store: &dyn ObjectStore, plan: &Plan, recipes: &[Recipe], id: &str) -> Result<Extracted> {
    let run = &plan.spec.id;
    let Some(trailer) = plan.trailers.trailers.iter().find(|trailer| trailer.subject.id == id) else {
        let of_it = |one: &&Reject| one.subject == id || one.subject.starts_with(&format!("movie {id}, "));
        let report = report_of(store, run).await?;
        let left_out = report.and_then(|report| report.dataset.rejects.iter().find(of_it).map(ToString::to_string));
        return Err(Error::invalid(match left_out {
            Some(reason) => {
                format!(
                    "the run {run} has no trailer of the movie {id}, which was left out: {reason}. Correct it and run again"
                )
            }
            None => format!("the movie {id} has no trailer in the run {run}: add one, and start the run again"),
        }));
    };
    let stored = Extracted::stored(store, recipes, &trailer.subject).await?;
    if !stored.embeddings.is_empty() {
        return Ok(stored);
    }
    let record = quarantine_key(run, &extraction_id(&trailer.subject));
    if let Some(record) = run::get_json::<QuarantineRecord>(store, &record).await? {
        return Err(Error::invalid(format!(
            "the trailer of {id} is quarantined in the run {run}: {}. Replace the file and start the run again, or \
             `jhalak retry {run}` if it is not to blame",
            record.reason
        )));
    }
    if !missing::all_committed(store, &[ArtifactKey::new(&recipes[0], &trailer.subject)]).await? {
        return Err(Error::invalid(format!(
            "the trailer of {id} is not extracted yet: `jhalak status {run}` shows how far the run is"
        )));
    }
    Ok(stored)
}

async fn report_of(store: &dyn ObjectStore, run: &str) -> Result<Option<Report>> {
    match store.get(&run_key(run, "report/report.json")).await {
        Ok(bytes) => Ok(Report::from_json(&bytes).ok()),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// The pairs of keyframes that match best, each keyframe in at most one pair, compared without the
/// `mean` of the run's trailers. Padding is no part of a trailer and is left out.
fn matching(asked: &Extracted, other: &Extracted, mean: &Mean, count: usize) -> Vec<Part> {
    let parts = |of: &Extracted| -> Vec<(usize, Option<f64>, Vec<f32>)> {
        let parts = of.embeddings.get("video").and_then(|vectors: &Vectors| vectors.parts.clone()).unwrap_or_default();
        let time = |keyframe: &Value| keyframe["time_s"].as_f64();
        parts
            .into_iter()
            .enumerate()
            .zip(&of.keyframes)
            .map(|((i, part), k)| (i, time(k), mean.without(&part)))
            .collect()
    };
    let (ours, theirs) = (parts(asked), parts(other));
    let mut pairs = Vec::new();
    for (i, (_, _, one)) in ours.iter().enumerate() {
        pairs.extend(theirs.iter().enumerate().map(|(j, (_, _, other))| (cosine(one, other), i, j)));
    }
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| (a.1, a.2).cmp(&(b.1, b.2))));
    let mut found: Vec<Part> = Vec::new();
    for (similarity, i, j) in pairs {
        if found.len() == count {
            break;
        }
        if found.iter().all(|part| part.keyframe != ours[i].0 && part.other_keyframe != theirs[j].0) {
            found.push(Part {
                similarity,
                keyframe: ours[i].0,
                time_s: ours[i].1,
                other_keyframe: theirs[j].0,
                other_time_s: theirs[j].1,
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_keyframe_matches_once_and_the_best_pair_comes_first() {
        let of = |parts: &[[f32; 2]]| Extracted {
            embeddings: BTreeMap::from([(
                "video",
                Vectors { mean: vec![0.0, 0.0], parts: Some(parts.iter().map(|part| part.to_vec()).collect()) },
            )]),
            keyframes: (0..parts.len()).map(|i| json!({ "time_s": i as f64 })).collect(),
        };
        let asked = of(&[[1.0, 0.0], [0.0, 1.0]]);
        let other = of(&[[0.1, 1.0], [1.0, 0.0], [0.9, 0.1]]);
        let found = matching(&asked, &other, &Mean::default(), 5);
        let pairs: Vec<_> = found.iter().map(|part| (part.keyframe, part.other_keyframe)).collect();
        assert_eq!(pairs, [(0, 1), (1, 0)]);
        assert_eq!((found[0].similarity, found[0].other_time_s), (1.0, Some(1.0)));
        // What all trailers share does not make two keyframes alike.
        let mut shared = Mean::default();
        shared.add(&[0.9, 0.0]);
        let one = matching(&of(&[[1.0, 0.1]]), &of(&[[1.0, -0.1]]), &shared, 1);
        assert!(one[0].similarity < 0.1, "{}", one[0].similarity);
        assert_eq!(cosine(&[0.0], &[1.0]), 0.0);
        assert_eq!(cosine(&[1.0, 2.0], &[1.0]), 0.0);
    }
}
