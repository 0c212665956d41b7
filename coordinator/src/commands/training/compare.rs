//! `jhalak compare`: two models on the pairs that both predicted.

use std::path::{Path, PathBuf};

use clap::Args;
use jhalak_common::counted::counted;
use jhalak_common::evaluation::FoldResult;
use jhalak_common::evaluation::metrics::{self, CellMetrics};
use jhalak_common::evaluation::paired::{self, Difference, Interval, Judged};
use jhalak_common::evaluation::predictions::{self, Choice, Row};
use jhalak_common::process::exit;
use jhalak_common::settings::Settings;
use jhalak_common::{Error, Result};
use serde_json::json;

use crate::commands::numbers;
use crate::console::output::Output;
use crate::plan::dataset_source;

/// Compare the predictions of two models on the same pairs
///
/// Prints the difference of accuracy and log loss over the pairs that both files predict, with 95 % intervals: a
/// bootstrap over users.
#[derive(Args)]
#[command(after_help = "Examples:
  # Compare two files that `jhalak evaluate --predictions FILE` wrote
  jhalak compare ensemble.parquet bias.parquet
  # Compare two models of an export
  jhalak compare results/predictions.parquet results/predictions.parquet \\
    --cell-a \"strict pairs, ensemble\" --cell-b \"strict pairs, bias\"
  # Compare files of other programs, without actual classes
  jhalak compare ours.parquet theirs.parquet --dataset .local/demo/dataset")]
pub struct Compare {
    /// Predictions of the first model (Parquet)
    #[arg(value_name = "A")]
    first: PathBuf,
    /// Predictions of the second model
    #[arg(value_name = "B")]
    second: PathBuf,
    /// Model in A, by its name in the column cell or row, if A holds several
    ///
    /// `jhalak export` writes such files.
    #[arg(long, value_name = "NAME", help_heading = "Input")]
    cell_a: Option<String>,
    /// Model in B, if B holds several
    #[arg(long, value_name = "NAME", help_heading = "Input")]
    cell_b: Option<String>,
    /// Dataset with the classes of the pairs, for files without the column `actual`
    #[arg(long, value_name = "DIR", help_heading = "Input")]
    dataset: Option<String>,
    /// Seed of the bootstrap
    ///
    /// [default: setting evaluate.seed]
    #[arg(long, value_parser = numbers::whole::<u64>, help_heading = "Execution")]
    seed: Option<u64>,
}

impl Compare {
    pub(in crate::commands) async fn execute(self, settings: Settings, output: Output) -> Result<u8> {
        let names = [&self.first, &self.second].map(|path| path.display().to_string());
        let rows = [
            read_file(&self.first, self.cell_a.as_deref(), "--cell-a")?,
            read_file(&self.second, self.cell_b.as_deref(), "--cell-b")?,
        ];
        let mut unknown = [0, 0];
        let [first, second] = match &self.dataset {
            Some(url) => {
                let source = dataset_source::read(url, None, &settings).await?;
                let dataset = &source.reading.dataset;
                let mut of = |i: usize| {
                    let found = predictions::matched(&names[i], &rows[i], dataset)?;
                    unknown[i] = found.unknown;
                    Ok::<_, Error>(found.folds)
                };
                [of(0)?, of(1)?]
            }
            None => {
                let mut ids = Default::default();
                let mut of = |i: usize| predictions::unmatched(&names[i], &rows[i], &mut ids);
                [of(0)?, of(1)?]
            }
        };
        check_classes(&names, &first, &second)?;
        let seed = self.seed.unwrap_or(settings.evaluate.seed);
        let judged = |folds| Judged { folds, balanced: is_balanced(folds) };
        let [a, b] = [judged(&first), judged(&second)];
        let Some(difference) = paired::difference(a, b, seed) else {
            return Err(Error::invalid(format!(
                "{} and {} predict no pair of user and movie in common: evaluate both on the same dataset",
                names[0], names[1]
            )));
        };
        let common = &paired::tested_pairs(&first) & &paired::tested_pairs(&second);
        let figures = [a, b].map(|model| metrics::summarise(&paired::on_pairs(model, &common)));
        let all = [&first, &second].map(|folds| paired::tested_pairs(folds).len());
        let mut lines = vec![format!(
            "{} of {}, predicted by both",
            counted(difference.pairs as u64, "pair"),
            counted(difference.users as u64, "user")
        )];
        let cells =
            [&self.cell_a, &self.cell_b].map(|cell| cell.as_ref().map_or_else(String::new, |of| format!(", {of}")));
        for (letter, ((name, all), (of, cell))) in
            ["A", "B"].iter().zip(names.iter().zip(all).zip(figures.iter().zip(&cells)))
        {
            lines.push(format!("{letter} {}: {name}{cell} ({})", one(of), counted(all as u64, "pair")));
        }
        for (letter, _) in ["A", "B"].iter().zip([a, b]).filter(|(_, model)| model.balanced) {
            lines.push(format!("{letter} is balanced: classes by the class weights in its file"));
        }
        for (letter, unknown) in ["A", "B"].iter().zip(unknown).filter(|(_, unknown)| *unknown > 0) {
            lines.push(format!(
                "{letter} left out: {} of pairs that the dataset has no rating of",
                counted(unknown as u64, "row")
            ));
        }
        let in_percent = |of: Interval| interval(of, 100.0, 1);
        lines.push(format!(
            "A - B  accuracy {} points; {}",
            in_percent(difference.accuracy),
            verdict(&difference, difference.accuracy)
        ));
        lines.push(format!(
            "       log loss {}; {}",
            interval(difference.log_loss, 1.0, 3),
            verdict(&difference, difference.log_loss)
        ));
        lines.push(format!("95 % intervals, bootstrap over users, seed {seed}"));
        let answer = json!({
            "first": names[0], "second": names[1], "first_cell": self.cell_a, "second_cell": self.cell_b,
            "unknown_rows": unknown, "difference": difference, "metrics": figures, "seed": seed,
        });
        output.print(&answer, &lines.join("\n"))?;
        Ok(exit::DONE)
    }
}

/// Reads a file of predictions, or those of the model `cell` in it, which `option` chooses.
pub(super) fn read_file(path: &Path, cell: Option<&str>, option: &str) -> Result<Vec<Row>> {
    let bytes = std::fs::read(path).map_err(|e| Error::from(e).context(format!("read {}", path.display())))?;
    predictions::read(&path.display().to_string(), bytes.into(), Choice { cell, option })
}

/// Whether each fold has class weights.
fn is_balanced(folds: &[FoldResult]) -> bool {
    !folds.is_empty() && folds.iter().all(|fold| fold.balance.is_some())
}

/// Refuses files that give a pair different classes: they are of different datasets.
fn check_classes(names: &[String; 2], first: &[FoldResult], second: &[FoldResult]) -> Result<()> {
    let all = |folds: &[FoldResult]| folds.iter().flat_map(|fold| fold.predictions.clone()).collect::<Vec<_>>();
    let classes: std::collections::BTreeMap<_, _> =
        all(first).into_iter().map(|one| ((one.user, one.movie), one.actual)).collect();
    let differ =
        |actual: &jhalak_common::dataset::Label, one: &jhalak_common::evaluation::Prediction| *actual != one.actual;
    let wrong = all(second)
        .iter()
        .filter(|one| classes.get(&(one.user, one.movie)).is_some_and(|actual| differ(actual, one)))
        .count();
    if wrong == 0 {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{} and {} give {wrong} pairs different classes: they are of different datasets or scales",
        names[0], names[1]
    )))
}

fn one(of: &CellMetrics) -> String {
    let loss = of.calibration.map_or_else(String::new, |c| format!(", log loss {:.3}", c.log_loss.mean));
    format!("accuracy {:.1} %, macro F1 {:.1} %{loss}", 100.0 * of.accuracy.mean, 100.0 * of.macro_f1.mean)
}

fn interval(of: Interval, times: f64, decimals: usize) -> String {
    let [mean, low, high] = [of.mean, of.low, of.high].map(|x| format!("{:+.decimals$}", times * x));
    format!("{mean} ({low} to {high})")
}

fn verdict(difference: &Difference, of: Interval) -> &'static str {
    match difference.users < paired::MIN_USERS {
        true => "too few users to separate it from chance",
        false if difference.tells(&of) => "not by chance",
        false => "within chance",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::table::{Cell, Column, Kind, TableFile};

    #[test]
    fn one_model_of_an_export_is_chosen_by_its_cell() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("predictions.parquet");
        let mut columns = vec![Column::new("fold", Kind::Int, "")];
        columns.extend(["cell", "row", "user", "movie", "actual"].map(|name| Column::new(name, Kind::Text, "")));
        columns.extend(["p_dislike", "p_neutral", "p_like"].map(|name| Column::new(name, Kind::Float, "")));
        let mut table = TableFile::create(&path, columns, Vec::new()).expect("a new file");
        for (cell, row, like) in [
            ("strict pairs, bias", "bias", 0.5),
            ("strict movies, bias", "bias", 0.25),
            ("paper pairs, ann", "ann", 1.0),
        ] {
            let mut cells = vec![Cell::Int(0)];
            cells.extend([cell, row, "u", "m", "like"].map(Cell::text));
            cells.extend([1.0 - like, 0.0, like].map(Cell::Float));
            table.push(cells).expect("fits");
        }
        table.finish().expect("room on disk");

        let read = |cell| read_file(&path, cell, "--cell-a");
        let like = |cell| read(Some(cell)).expect("one model")[0].probabilities[2];
        assert_eq!((like("strict movies, bias"), like("ann")), (0.25, 1.0));
        let several = read(None).expect_err("three models").to_string();
        assert!(several.contains("3 models") && several.contains("--cell-a NAME"), "{several}");
        assert!(several.contains("\n  strict movies, bias"), "{several}");
        assert!(read(Some("bias")).expect_err("two cells of one row").to_string().contains("2 models"));
        let none = read(Some("nope")).expect_err("no such model").to_string();
        assert!(none.contains("no row has the cell `nope`; it has\n  strict pairs, bias"), "{none}");
    }
}
