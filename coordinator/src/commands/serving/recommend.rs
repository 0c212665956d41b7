//! `jhalak recommend`: the movies that a viewer most probably likes, with reasons.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use jhalak_common::counted::counted;
use jhalak_common::process::exit;
use jhalak_common::settings::Settings;
use jhalak_common::{Error, Result};
use jhalak_worker::recommend::serving::{RankBy, RankedMovie};
use serde::Serialize;

use super::all_users;
use super::viewer_args::{Answer, ModelFacts, Replaced, ViewerArgs};
use crate::commands::{numbers, output_path};
use crate::console::output::Output;
use crate::reasons::Reasons;

/// Recommend movies to a viewer, with reasons
///
/// Orders movies by the probability of like (--rank like), or by what viewers with a similar history watch and like
/// next (--rank watch). Ties are ordered by the probability of dislike (lowest first), then by id. Leaves out movies
/// that the viewer has rated.
#[derive(Args)]
#[command(after_help = "Examples:
  # Recommend three movies to a viewer of the demo
  jhalak recommend --user synthetic-001 --top 3
  # Recommend to a new viewer, from two ratings
  jhalak recommend --like tt9900001 --dislike tt9900013
  # Recommend what similar viewers watch next
  jhalak recommend --user synthetic-001 --rank watch
  # Write the lists of all users to a file
  jhalak recommend --all-users --out lists.parquet")]
pub struct Recommend {
    #[command(flatten)]
    viewer: ViewerArgs,
    /// Number of movies
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = numbers::count::<usize>, help_heading = "Output")]
    top: usize,
    /// Order of the movies
    #[arg(long, value_enum, default_value_t = RankArg::Like, value_name = "BY", help_heading = "Output")]
    rank: RankArg,
    /// Recommend to every user of the dataset, and write the lists to --out
    #[arg(long, requires = "out", conflicts_with_all = ["include_rated"], help_heading = "Viewer")]
    all_users: bool,
    /// Parquet file for the lists of --all-users
    ///
    /// Columns: user, rank, movie, score, p_dislike, p_neutral, p_like, doubt, ratings.
    #[arg(
        long,
        value_name = "FILE",
        requires = "all_users",
        value_parser = output_path::file("Parquet", &["parquet", "pq"]),
        help_heading = "Output"
    )]
    out: Option<PathBuf>,
    /// Number of threads (--all-users)
    ///
    /// [default: one per core]
    #[arg(
        long,
        value_name = "N",
        requires = "all_users",
        value_parser = numbers::count::<usize>,
        help_heading = "Execution"
    )]
    threads: Option<usize>,
    /// Include movies that the viewer has rated, each predicted without its own rating
    #[arg(long, help_heading = "Output")]
    include_rated: bool,
}

/// See [`RankBy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RankArg {
    /// Probability that the viewer likes the movie
    Like,
    /// By the movies that similar viewers watch and like next, blended with that probability
    Watch,
}

#[derive(Serialize)]
struct Recommendations {
    /// None for a new viewer.
    user: Option<String>,
    recommendations: Vec<Ranked>,
    /// Movies that were ranked.
    candidates: usize,
    /// Movies that the viewer has rated and that were left out.
    left_out_rated: usize,
    /// Movies without the embedding that the model predicts from.
    left_out_without_embedding: usize,
    /// The order of the list: `like` or `watch`.
    ranked_by: &'static str,
    /// Given ratings in place of stored ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    replaced: Vec<Replaced>,
    model: ModelFacts,
}

#[derive(Serialize)]
struct Ranked {
    rank: usize,
    /// The order of the list.
    score: f32,
    #[serde(flatten)]
    answer: Answer,
}

impl Recommend {
    pub(in crate::commands) async fn execute(self, settings: Settings, output: Output) -> Result<u8> {
        let (by, ranked_by) = match self.rank {
            RankArg::Like => (RankBy::Like, "like"),
            RankArg::Watch => (RankBy::Watch, "watch"),
        };
        if let (true, Some(out)) = (self.all_users, &self.out) {
            if let Some(option) = self.viewer.first_given() {
                return Err(Error::usage(format!("{option} has no effect with --all-users: remove one of them")));
            }
            let request = all_users::Request { by, ranked_by, top: self.top, out, threads: self.threads };
            return all_users::execute(self.viewer.model.load(&settings, false).await?, &request, &output).await;
        }
        let mut viewer = self.viewer.open(&settings).await?;
        let all = viewer.session.dataset().movies.len() as u32;
        let (open, rated): (Vec<u32>, Vec<u32>) = (0..all).partition(|&movie| viewer.session.rated(movie).is_none());
        let left_out_rated = if self.include_rated { 0 } else { rated.len() };
        let mut candidates = open;
        if self.include_rated {
            candidates.extend(rated);
        }
        let considered = candidates.len();
        candidates.retain(|&movie| viewer.session.can_predict(movie));
        let ranked = viewer.session.best(by, &candidates, self.top)?;
        let mut recommendations = Vec::new();
        for (at, RankedMovie { movie, score, probabilities }) in ranked.into_iter().enumerate() {
            let answer = viewer.answer(movie, probabilities, self.viewer.reasons)?;
            recommendations.push(Ranked { rank: at + 1, score, answer });
        }
        let user = viewer.id(&self.viewer);
        let answer = Recommendations {
            user,
            recommendations,
            candidates: candidates.len(),
            left_out_rated,
            left_out_without_embedding: considered - candidates.len(),
            ranked_by,
            replaced: viewer.replaced,
            model: viewer.facts,
        };
        output.print(&answer, &text(&answer))?;
        Ok(exit::DONE)
    }
}

fn text(answer: &Recommendations) -> String {
    let mut text = String::new();
    if answer.model.synthetic {
        text.push_str("SYNTHETIC feedback: generated by a program\n");
    }
    text.push_str(&format!(
        "for {}, of {}, by {}:\n",
        answer.user.as_deref().unwrap_or("a new viewer"),
        counted(answer.candidates as u64, "movie"),
        answer.ranked_by
    ));
    for Ranked { rank, answer, .. } in &answer.recommendations {
        let year = answer.year.map_or_else(String::new, |year| format!(", {year}"));
        let rated = answer.rated.map_or_else(String::new, |rated| format!(", rated: {}", rated.name()));
        text.push_str(&format!(
            "{rank:>3}. like {:>4.1} ± {:.1} %, dislike {:>4.1} %  {} ({}{year}{rated})\n",
            100.0 * answer.probabilities.like,
            100.0 * answer.doubt,
            100.0 * answer.probabilities.dislike,
            answer.name,
            answer.movie,
        ));
        text.push_str(&Reasons::of(&answer.why).lines("     "));
    }
    if answer.recommendations.is_empty() {
        text.push_str("no movies to recommend\n");
    }
    if answer.left_out_rated > 0 {
        text.push_str(&format!(
            "left out: {} that the viewer has rated\n",
            counted(answer.left_out_rated as u64, "movie")
        ));
    }
    if answer.left_out_without_embedding > 0 {
        text.push_str(&format!(
            "left out: {} without an embedding\n",
            counted(answer.left_out_without_embedding as u64, "movie")
        ));
    }
    text.push_str(&Replaced::lines(&answer.replaced));
    text.push_str(&answer.model.lines());
    text
}
