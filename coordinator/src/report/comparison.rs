//! The evaluation as a table: a row for each model, a column for each protocol and split, the
//! published figure first.

use serde::Serialize;

use super::number::{count, counted, mean_sd, percent};
use super::{Cell, Report};
use crate::signed::signed;

/// The evaluation, ordered for a table. The figures of a column are of the same pairs, if there are
/// any that all its models were tested on.
pub(super) struct Comparison<'a> {
    /// The columns that occur, in the order of their first cell.
    pub columns: Vec<String>,
    /// The headings of the columns: with the number of pairs.
    pub headings: Vec<String>,
    pub rows: Vec<Row<'a>>,
}

/// One model.
pub(super) struct Row<'a> {
    pub name: String,
    pub baseline: bool,
    /// Whether it is a negative control, which competes with no model.
    pub control: bool,
    /// The cell in each column, if one was planned.
    pub cells: Vec<Option<&'a Cell>>,
}

impl<'a> Comparison<'a> {
    pub fn of(report: &'a Report) -> Comparison<'a> {
        let mut columns: Vec<String> = Vec::new();
        let mut rows: Vec<Row<'a>> = Vec::new();
        for cell in &report.evaluation {
            let (column, name) = (cell.column(), cell.row());
            let column = place(&mut columns, |known| *known == column, || column.clone());
            let row = place(
                &mut rows,
                |row| row.name == name,
                || Row {
                    name: name.clone(),
                    baseline: cell.baseline,
                    control: cell.control.is_some(),
                    cells: Vec::new(),
                },
            );
            let cells = &mut rows[row].cells;
            if cells.len() <= column {
                cells.resize(column + 1, None);
            }
            cells[column].get_or_insert(cell);
        }
        for row in &mut rows {
            row.cells.resize(columns.len(), None);
        }
        let headings = columns.iter().enumerate().map(|(place, name)| heading(name, place, &rows)).collect();
        Comparison { columns, headings, rows }
    }

    /// Names the most accurate model under `strict` with random pairs and compares it with the best
    /// baseline.
    pub fn headline(&self) -> Option<String> {
        let strict = self.columns.iter().position(|column| column == "strict")?;
        if pairs(strict, &self.rows) == Pairs::Different {
            return Some(
                "Under strict, with random pairs, no pair was tested by every model: their figures may not be compared."
                    .to_owned(),
            );
        }
        let best = self.best(strict, false)?;
        let begin = match best.rows {
            1 => "the model".to_owned(),
            models => format!("the most accurate of {models} models beside the baselines"),
        };
        let scope = match self.tested(strict, best.row) {
            Some((common, tested)) if common < tested => format!(
                "over the {} of its {} tested pairs that every model could predict",
                count(common),
                count(tested)
            ),
            Some((common, _)) => format!("over {} pairs", count(common)),
            None => "mean of the folds".to_owned(),
        };
        let begin =
            format!("Under strict, with random pairs, {begin} is {}: {} % ({scope}).", best.named(), best.percent());
        let Some(base) = self.best(strict, true) else { return Some(begin) };
        let versus = best.row.cells[strict].and_then(|cell| cell.compared.as_ref()?.versus.as_ref());
        let points = 100.0 * versus.map_or(best.accuracy - base.accuracy, |versus| versus.difference.accuracy.mean);
        let apart = format!("{:.1} points", points.abs());
        let side = match points {
            _ if apart == "0.0 points" => "level with it".to_owned(),
            behind if behind < 0.0 => format!("behind by {apart}"),
            _ => format!("ahead by {apart}"),
        };
        let verdict = match versus.map(|versus| versus.difference) {
            None => format!("the model is {side}"),
            Some(of) => {
                let [low, high] = [of.accuracy.low, of.accuracy.high].map(|end| signed(100.0 * end, 1));
                let interval =
                    format!("95 % interval {low} to {high} points over draws of {} viewers", count(of.users as u64));
                match of.tells(&of.accuracy) {
                    true => format!("the model is {side} ({interval})"),
                    false => format!("the model is {side}, which is within chance ({interval})"),
                }
            }
        };
        let of = if base.rows == 1 { "baseline" } else { "best baseline" };
        Some(format!("{begin} The {of} is {}: {} %; {verdict}.", base.named(), base.percent()))
    }

    /// Returns the pairs that every model of the column was tested on, and those that this one was.
    fn tested(&self, column: usize, row: &Row<'_>) -> Option<(u64, u64)> {
        let cell = row.cells[column]?;
        let compared = cell.compared.as_ref()?;
        let tested = cell.metrics.as_ref()?.tested_pairs() as u64;
        // A pair that several folds test is counted once.
        Some((compared.pairs, tested - compared.tests.map_or(0, |tests| tests.saturating_sub(compared.pairs))))
    }

    /// Returns the columns in the order in which people should read them: strict first, then paper.
    pub fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.columns.len()).collect();
        order.sort_by_key(|place| (self.columns[*place] != "strict", self.columns[*place] != "paper"));
        order
    }

    /// Returns the rows that the first sentences name.
    pub fn named_in_headline(&self) -> Vec<String> {
        let Some(strict) = self.columns.iter().position(|column| column == "strict") else { return Vec::new() };
        let best = [false, true].into_iter().filter_map(|baseline| self.best(strict, baseline));
        let mut named: Vec<String> = best
            .flat_map(|best| [best.row.name.as_str()].into_iter().chain(best.level.first().copied()))
            .map(str::to_owned)
            .collect();
        if let Some(apart) = self.apart_from_baseline() {
            let others = [apart.better, apart.worse].into_iter().flat_map(|names| named_of(&names).to_vec());
            named.extend(others.map(str::to_owned));
        }
        named
    }

    /// Says in one sentence which models differ from the best baseline beyond chance; `None` when
    /// that was not measured.
    pub fn beyond_chance(&self) -> Option<String> {
        let Apart { better, worse, level } = self.apart_from_baseline()?;
        let list = |names: &[&str]| match names.len() - named_of(names).len() {
            _ if names.is_empty() => "none".to_owned(),
            0 => names.join("; "),
            more => format!("{}; and {more} more", named_of(names).join("; ")),
        };
        Some(format!(
            "Beyond chance, more accurate than the best baseline: {}; less accurate: {}. {} not distinguishable from it.",
            list(&better),
            list(&worse),
            if level == 1 { "1 model is".to_owned() } else { format!("{level} models are") }
        ))
    }

    /// Returns the models by their difference from the best baseline under strict; `None` when no
    /// difference was measured.
    fn apart_from_baseline(&self) -> Option<Apart<'_>> {
        let strict = self.columns.iter().position(|column| column == "strict")?;
        let mut apart = Apart::default();
        for row in &self.rows {
            let Some(versus) = row.cells[strict].and_then(|cell| cell.compared.as_ref()?.versus.as_ref()) else {
                continue;
            };
            let difference = &versus.difference;
            match difference.tells(&difference.accuracy) {
                true if difference.accuracy.mean > 0.0 => apart.better.push(row.name.as_str()),
                true => apart.worse.push(row.name.as_str()),
                false => apart.level += 1,
            }
        }
        Some(apart).filter(|apart| apart.better.len() + apart.worse.len() + apart.level > 0)
    }

    /// Returns the most accurate row of a column among baselines or among the others.
    fn best(&self, column: usize, baseline: bool) -> Option<Best<'_, 'a>> {
        let rows = self.rows.iter().filter(|row| row.baseline == baseline && !row.control);
        let accuracy = |row: &'_ Row<'a>| Some(row.cells[column]?.accuracy()?.mean);
        let run: Vec<(&Row<'a>, f64)> = rows.filter_map(|row| Some((row, accuracy(row)?))).collect();
        // The first of equally accurate rows.
        let (row, most) = run.iter().copied().reduce(|best, other| if other.1 > best.1 { other } else { best })?;
        let level = run.iter().filter(|(other, of)| other.name != row.name && percent(*of) == percent(most));
        Some(Best { row, accuracy: most, level: level.map(|(row, _)| row.name.as_str()).collect(), rows: run.len() })
    }
}

/// Models by their difference from the best baseline.
#[derive(Default)]
struct Apart<'r> {
    /// More accurate beyond chance.
    better: Vec<&'r str>,
    /// Less accurate beyond chance.
    worse: Vec<&'r str>,
    /// Not distinguishable.
    level: usize,
}

/// The models of a list that a sentence names: all of a short one.
fn named_of<'n, 'r>(names: &'n [&'r str]) -> &'n [&'r str] {
    if names.len() > 4 { &names[..3] } else { names }
}

/// The most accurate row of a column.
struct Best<'r, 'a> {
    row: &'r Row<'a>,
    accuracy: f64,
    /// The rows with the same accuracy as printed.
    level: Vec<&'r str>,
    /// The rows that it was chosen from.
    rows: usize,
}

impl Best<'_, '_> {
    /// Names it in a sentence, with those that are level: `the ensemble (level with svd)`.
    fn named(&self) -> String {
        let name = &self.row.name;
        let name = if name.starts_with("ensemble") { format!("the {name}") } else { name.clone() };
        match self.level.as_slice() {
            [] => name,
            [other] => format!("{name} (level with {other})"),
            [other, more @ ..] => format!("{name} (level with {other} and {} more)", more.len()),
        }
    }

    fn percent(&self) -> String {
        percent(self.accuracy)
    }
}

impl Row<'_> {
    /// The published accuracy, its standard deviation if printed, and its table.
    pub fn published(&self) -> Option<(String, String)> {
        let figure = self.cells.iter().flatten().find_map(|cell| cell.published.as_ref())?;
        let sd = figure.sd.map_or_else(String::new, |sd| format!(" ± {}", percent(sd)));
        Some((percent(figure.mean) + &sd, figure.table.clone()))
    }

    /// The published accuracy as a share.
    pub fn published_share(&self) -> Option<f64> {
        self.cells.iter().flatten().find_map(|cell| cell.published.as_ref()).map(|figure| figure.mean)
    }
}

/// The pairs that the models of a column were tested on.
#[derive(PartialEq)]
enum Pairs {
    /// As many, the same for all models, and the tests of them over the folds, if recorded.
    Same(u64, Option<u64>),
    /// None that all models were tested on.
    Different,
    /// Not recorded, in a report of an older program.
    Unknown,
}

fn pairs(column: usize, rows: &[Row<'_>]) -> Pairs {
    let cells = || rows.iter().filter_map(|row| row.cells[column]).filter(|cell| cell.metrics.is_some());
    let same = cells().find_map(|cell| cell.compared.as_ref()).map(|of| Pairs::Same(of.pairs, of.tests));
    let has_predictions = |cell: &Cell| cell.metrics.as_ref().is_some_and(|metrics| metrics.calibration.is_some());
    let none = || if cells().any(has_predictions) { Pairs::Different } else { Pairs::Unknown };
    same.unwrap_or_else(none)
}

fn heading(name: &str, column: usize, rows: &[Row<'_>]) -> String {
    match pairs(column, rows) {
        Pairs::Same(pairs, Some(tests)) if tests > pairs => {
            format!("{name}, {} tests of {}", count(tests), counted(pairs, "pair"))
        }
        Pairs::Same(pairs, _) => format!("{name}, {}", counted(pairs, "pair")),
        Pairs::Different => format!("{name}, different pairs"),
        Pairs::Unknown => name.to_owned(),
    }
}

fn place<T>(list: &mut Vec<T>, is: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> usize {
    list.iter().position(is).unwrap_or_else(|| {
        list.push(make());
        list.len() - 1
    })
}

/// A cell of the table as the page shows it.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Shown {
    /// The cell was run.
    Run { accuracy: String, macro_f1: String },
    /// The cell was not run; the number of the reason, from 1.
    NotRun { reason: usize },
    /// The cell was not planned.
    NotPlanned,
}

/// The table as the page shows it.
#[derive(Serialize)]
pub(super) struct Table {
    columns: Vec<String>,
    rows: Vec<TableRow>,
    /// The reasons why cells were not run, each once.
    reasons: Vec<String>,
    any_published: bool,
}

#[derive(Serialize)]
struct TableRow {
    name: String,
    baseline: bool,
    published: Option<(String, String)>,
    cells: Vec<Shown>,
}

impl Table {
    /// Whether nothing was planned.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub fn of(comparison: &Comparison<'_>) -> Table {
        let mut reasons: Vec<String> = Vec::new();
        let mut show = |cell: &Option<&Cell>| match cell {
            None => Shown::NotPlanned,
            Some(cell) => match cell.figures() {
                Some((accuracy, macro_f1)) => Shown::Run { accuracy: mean_sd(accuracy), macro_f1: mean_sd(macro_f1) },
                None => {
                    let reason = cell.reason();
                    Shown::NotRun { reason: 1 + place(&mut reasons, |known| known == reason, || reason.to_owned()) }
                }
            },
        };
        let order = comparison.order();
        let columns = order.iter().map(|place| comparison.headings[*place].clone()).collect();
        let rows: Vec<TableRow> = comparison
            .rows
            .iter()
            .map(|row| TableRow {
                name: row.name.clone(),
                baseline: row.baseline,
                published: row.published(),
                cells: order.iter().map(|place| show(&row.cells[*place])).collect(),
            })
            .collect();
        let any_published = rows.iter().any(|row| row.published.is_some());
        Table { columns, rows, reasons, any_published }
    }
}
