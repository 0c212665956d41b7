//! `predictions.parquet`, one row per tested pair of each model, and `metrics.csv`, one row per
//! fold of each model.

use std::fmt::Write as _;

use jhalak_common::artifact::{self, ArtifactKey};
use jhalak_common::dataset::Movie;
use jhalak_common::evaluation::metrics::{self, FoldMetrics};
use jhalak_common::evaluation::{self, Calibration, CellSpec, FoldResult};
use jhalak_common::{Error, Result};

use super::context::Context;
use super::manifest::{FileEntry, Written};
use super::table::{Cell, Column, Kind, TableFile};
use crate::report;
use crate::run::tasks::{self, CellTasks};

const CLASSES: [&str; 3] = ["dislike", "neutral", "like"];

/// Writes predictions and metrics.
pub(super) async fn write(context: &Context<'_>) -> Result<Written> {
    if context.plan.spec.cells.is_empty() {
        return Ok((Vec::new(), vec!["the run evaluates nothing: no predictions and metrics".to_owned()]));
    }
    let mut notes = Vec::new();
    let CellTasks { tasks, left_out } = tasks::cell_tasks(context.plan, &context.tables)?;
    notes.extend(left_out.iter().map(|(cell, reason)| format!("{cell}: {reason}")));
    let mut columns = model_columns();
    columns.extend([
        Column::new("fold", Kind::Int, "number of the fold, from 0"),
        Column::new("user", Kind::Text, "user id"),
        Column::new("movie", Kind::Text, "movie id"),
        Column::new("actual", Kind::Text, "dislike, neutral or like"),
        Column::new("predicted", Kind::Text, "the most probable class"),
        Column::new("p_dislike", Kind::Float, "probability, from 0 to 1"),
        Column::new("p_neutral", Kind::Float, "probability"),
        Column::new("p_like", Kind::Float, "probability"),
    ]);
    let mut table = TableFile::create(&context.path("predictions.parquet"), columns, context.metadata())?;
    let metrics_columns = metrics_columns();
    let header: Vec<&str> = metrics_columns.iter().map(|column| column.name.as_str()).collect();
    let mut csv = format!("{}\n", header.join(","));
    let mut rows = 0;
    for task in &tasks {
        let key = ArtifactKey::new(&task.recipe, &task.dataset);
        let Some(record) = artifact::committed(context.store, &key).await? else {
            notes.push(format!("{}, fold {}: no result is committed", task.cell.name(), task.fold));
            continue;
        };
        let bytes = artifact::read_file(context.store, &record, evaluation::RESULT_FILE).await?;
        let result: FoldResult = serde_json::from_slice(&bytes).map_err(|e| {
            Error::invalid(format!("the result {} is damaged: delete its folder and repeat the run", key.folder()))
                .with_source(e)
        })?;
        let named = Named::of(&task.cell);
        let movies: &[Movie] = &context.dataset.movies;
        for prediction in &result.predictions {
            let user = context.dataset.users.get(prediction.user as usize);
            let movie = movies.get(prediction.movie as usize);
            let (Some(user), Some(movie)) = (user, movie) else {
                return Err(Error::invalid(format!(
                    "the result {} is of another dataset: delete its folder and repeat the run",
                    key.folder()
                )));
            };
            let best = evaluation::predicted_class(&prediction.probabilities);
            let [dislike, neutral, like] = prediction.probabilities;
            let mut cells = named.cells();
            cells.extend([
                Cell::int(result.fold),
                Cell::text(&user.id),
                Cell::text(&movie.id),
                Cell::text(prediction.actual.name()),
                Cell::text(CLASSES[best]),
                Cell::Float(dislike),
                Cell::Float(neutral),
                Cell::Float(like),
            ]);
            table.push(cells)?;
        }
        named.metrics(&mut csv, "most probable class", &result);
        rows += 1;
        if let Some(balanced) = metrics::balanced(&result) {
            named.metrics(&mut csv, "class weights", &balanced);
            rows += 1;
        }
    }
    let (predicted, columns) = table.finish()?;
    std::fs::write(context.path("metrics.csv"), csv)?;
    let about = "one row per tested pair; under the paper's protocol a copied pair has several rows";
    let files = vec![
        FileEntry::of("predictions.parquet", about, Some(predicted), columns),
        FileEntry::of(
            "metrics.csv",
            "one row per fold, with the counts of actual and predicted classes",
            Some(rows),
            metrics_columns,
        ),
    ];
    Ok((files, notes))
}

/// The columns that name a model.
fn model_columns() -> Vec<Column> {
    vec![
        Column::new("cell", Kind::Text, "the model with all its settings, as in the run's records"),
        Column::new("row", Kind::Text, "the model as in the report; cells of several splits share it"),
        Column::new("model", Kind::Text, "the model's name"),
        Column::new("modality", Kind::Text, "video, audio, audio+video, genre, metadata; empty for baselines")
            .nullable(),
        Column::new("user_embedding", Kind::Text, "ratings in the user embedding; empty without one").nullable(),
        Column::new("gl", Kind::Flag, "whether the GL-score is used; empty where it does not apply").nullable(),
        Column::new("protocol", Kind::Text, "paper (as published, with its leaks) or strict"),
        Column::new("split", Kind::Text, "what a fold holds out: pairs, movies or users"),
    ]
}

/// The columns of `metrics.csv`.
fn metrics_columns() -> Vec<Column> {
    let mut columns = model_columns();
    columns.extend([
        Column::new("decision", Kind::Text, "how probabilities became classes: most probable class, or class weights"),
        Column::new("fold", Kind::Int, "number of the fold, from 0"),
        Column::new("accuracy", Kind::Double, "share of test pairs in the right class"),
        Column::new("macro_f1", Kind::Double, "mean of the F1 of the classes"),
        Column::new("weighted_f1", Kind::Double, "mean of the F1 of the classes, weighted by their pairs"),
        Column::new("log_loss", Kind::Double, "mean of -ln of the probability of the actual class").nullable(),
        Column::new("brier", Kind::Double, "mean squared error of the three probabilities").nullable(),
        Column::new("train_pairs", Kind::Int, "pairs that the fold trained on"),
        Column::new("test_pairs", Kind::Int, "pairs that the fold tested"),
        Column::new(
            "left_out_pairs",
            Kind::Int,
            "pairs of the whole dataset whose movie has no embedding, neither trained on nor tested: the same pairs in every \
             fold, so do not add them up",
        ),
        Column::new("epochs", Kind::Int, "epochs trained; 0 for models without"),
    ]);
    for (actual, predicted) in (0..9).map(|at| (CLASSES[at / 3], CLASSES[at % 3])) {
        let about = format!("test pairs of class {actual} that were taken for {predicted}");
        columns.push(Column::new(&format!("{actual}_as_{predicted}"), Kind::Int, &about));
    }
    columns
}

/// How rows name a model.
struct Named {
    cell: String,
    row: String,
    model: &'static str,
    modality: Option<String>,
    user_embedding: Option<String>,
    gl: Option<bool>,
    protocol: &'static str,
    split: &'static str,
}

impl Named {
    fn of(spec: &CellSpec) -> Named {
        let shown = report::Cell::of(spec);
        Named {
            cell: spec.name(),
            row: shown.row(),
            model: spec.model.name(),
            modality: shown.modality,
            user_embedding: shown.user_embedding,
            gl: shown.gl,
            protocol: spec.protocol.name(),
            split: spec.protocol.split_name(),
        }
    }

    fn cells(&self) -> Vec<Cell> {
        vec![
            Cell::text(&self.cell),
            Cell::text(&self.row),
            Cell::text(self.model),
            Cell::maybe(self.modality.clone()),
            Cell::maybe(self.user_embedding.clone()),
            self.gl.map_or(Cell::None, Cell::Flag),
            Cell::text(self.protocol),
            Cell::text(self.split),
        ]
    }

    fn metrics(&self, csv: &mut String, decision: &str, result: &FoldResult) {
        let gl = self.gl.map(|gl| gl.to_string());
        let texts = [
            self.cell.as_str(),
            &self.row,
            self.model,
            self.modality.as_deref().unwrap_or_default(),
            self.user_embedding.as_deref().unwrap_or_default(),
            gl.as_deref().unwrap_or_default(),
            self.protocol,
            self.split,
            decision,
        ];
        for text in texts {
            let quoted = format!("\"{}\"", text.replace('"', "\"\""));
            let _ = write!(csv, "{},", if text.contains([',', '"', '\n']) { &quoted } else { text });
        }
        let FoldMetrics { fold, scores, confusion, .. } = FoldMetrics::from(result);
        let fit = Calibration::of(std::slice::from_ref(result));
        let number = |number: Option<f64>| number.map(|number| number.to_string()).unwrap_or_default();
        let _ = write!(
            csv,
            "{fold},{},{},{},{},{},{},{},{},{}",
            scores.accuracy,
            scores.macro_f1,
            scores.weighted_f1,
            number(fit.map(|fit| fit.log_loss.mean)),
            number(fit.map(|fit| fit.brier.mean)),
            result.train_pairs,
            result.test_pairs,
            result.left_out_pairs,
            result.epochs,
        );
        for count in confusion.as_flattened() {
            let _ = write!(csv, ",{count}");
        }
        csv.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jhalak_common::evaluation::{Modality, Model, Split, UserEmbedding};

    #[test]
    fn every_row_of_metrics_has_a_value_for_each_column() {
        let cell = CellSpec::strict(Split::Pairs, Modality::Genre, Model::Bias, UserEmbedding::Liked, false);
        let mut csv = String::new();
        Named::of(&cell).metrics(&mut csv, "most probable class", &FoldResult::default());
        // The name of the cell has a comma and is quoted.
        let quoted = csv.split('"').nth(1).unwrap_or_default().matches(',').count();
        assert_eq!(csv.matches(',').count() - quoted + 1, metrics_columns().len(), "{csv}");
    }
}
