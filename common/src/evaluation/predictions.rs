//! Files of predictions, for other tools and from them: one row for each tested pair, by ids.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parquet::data_type::{ByteArray, ByteArrayType, FloatType, Int32Type};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::record::Field;
use parquet::schema::parser::parse_message_type;

use super::CLASSES;
use super::confusion::predicted_class;
use super::result::{FoldResult, Prediction};
use crate::dataset::{Dataset, Label};
use crate::error::{Error, Result};

const SCHEMA: &str = "message predictions {
    required int32 fold;
    required binary user (STRING);
    required binary movie (STRING);
    required binary actual (STRING);
    required float p_dislike;
    required float p_neutral;
    required float p_like;
}";

/// The columns of the class weights.
const WEIGHTS: [&str; CLASSES] = ["w_dislike", "w_neutral", "w_like"];

/// How far the probabilities of a pair may be from a sum of 1.
const ROUNDING: f64 = 0.01;

/// One predicted pair.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Number of the fold, from 0.
    pub fold: u32,
    /// The user's id.
    pub user: String,
    /// The movie's id.
    pub movie: String,
    /// The actual class, if the file has it.
    pub actual: Option<Label>,
    /// Probabilities of dislike, neutral and like.
    pub probabilities: [f32; CLASSES],
    /// The class weights of the fold: the class is the one with the largest product of probability
    /// and weight.
    pub weights: Option<[f32; CLASSES]>,
}

impl Row {
    /// Names the pair in messages. Letters of every script stay as they are.
    fn about(&self) -> String {
        format!("user \"{}\", movie \"{}\"", self.user.escape_debug(), self.movie.escape_debug())
    }
}

/// Which model of a table is read.
#[derive(Clone, Copy, Debug)]
pub struct Choice<'a> {
    /// Its value in the column `cell`, or in the column `row` if only one model has that.
    pub cell: Option<&'a str>,
    /// The option that chooses, for messages.
    pub option: &'a str,
}

/// Writes the predictions of all folds to a new file: `fold`, `user`, `movie`, `actual`,
/// `p_dislike`, `p_neutral`, `p_like`; if `balanced`, also the class weights of the fold:
/// `w_dislike`, `w_neutral`, `w_like`.
///
/// # Errors
/// The error of the file system; a file that exists.
pub fn write(path: &Path, dataset: &Dataset, results: &[FoldResult], balanced: bool) -> Result<()> {
    let file = File::create_new(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Error::invalid(format!("{} exists: remove it, or name another file", path.display()))
        }
        _ => Error::from(e).context(format!("create {}", path.display())),
    })?;
    write_to(file, dataset, results, balanced).map_err(|e| {
        // A part of a table is of no use, and would be in the way of the next try.
        let _ = std::fs::remove_file(path);
        Error::of_writer(e).context(format!("{} cannot be written", path.display()))
    })
}

/// Returns the bytes that [`write`] writes without class weights. The same predictions give the
/// same bytes.
///
/// # Errors
/// A bug in the encoder.
pub fn encode(dataset: &Dataset, results: &[FoldResult]) -> Result<Bytes> {
    let mut bytes = Vec::new();
    write_to(&mut bytes, dataset, results, false)
        .map_err(|e| Error::bug("predictions do not encode").with_source(e))?;
    Ok(bytes.into())
}

fn write_to(
    to: impl Write + Send,
    dataset: &Dataset,
    results: &[FoldResult],
    balanced: bool,
) -> Result<(), ParquetError> {
    let of_folds = || results.iter().flat_map(|fold| fold.predictions.iter().map(move |one| (fold, one)));
    let rows = || of_folds().map(|(fold, one)| (fold.fold, one));
    let columns: String = WEIGHTS.iter().map(|name| format!("required float {name};")).collect();
    let schema = match balanced {
        true => SCHEMA.replace('}', &format!("{columns}}}")),
        false => SCHEMA.to_owned(),
    };
    let schema = Arc::new(parse_message_type(&schema)?);
    let properties = WriterProperties::builder()
        .set_created_by("jhalak".into())
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true)
        .build();
    let mut writer = SerializedFileWriter::new(to, schema, Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    let text = |text: &str| ByteArray::from(text);
    let user = |one: &Prediction| text(&dataset.users[one.user as usize].id);
    let movie = |one: &Prediction| text(&dataset.movies[one.movie as usize].id);
    let mut place = 0;
    while let Some(mut column) = group.next_column()? {
        match place {
            0 => {
                let folds: Vec<i32> = rows().map(|(fold, _)| i32::try_from(fold).unwrap_or(i32::MAX)).collect();
                column.typed::<Int32Type>().write_batch(&folds, None, None)
            }
            1..=3 => {
                let cell = |one: &Prediction| match place {
                    1 => user(one),
                    2 => movie(one),
                    _ => text(one.actual.name()),
                };
                let cells: Vec<ByteArray> = rows().map(|(_, one)| cell(one)).collect();
                column.typed::<ByteArrayType>().write_batch(&cells, None, None)
            }
            class => {
                let share = |(fold, one): (&FoldResult, &Prediction)| match class - 4 {
                    class if class < CLASSES => one.probabilities[class],
                    class => fold.balance.map_or(1.0, |weights| weights[class - CLASSES]),
                };
                let shares: Vec<f32> = of_folds().map(share).collect();
                column.typed::<FloatType>().write_batch(&shares, None, None)
            }
        }?;
        column.close()?;
        place += 1;
    }
    group.close()?;
    writer.close()?;
    Ok(())
}

/// Reads predictions from a Parquet file with the columns `user`, `movie`, `p_dislike`, `p_neutral`
/// and `p_like`, and optionally `fold`, `actual`, and `w_dislike`, `w_neutral` and `w_like`. Ids
/// may be texts or whole numbers.
///
/// A table with the column `cell`, as `jhalak export` writes it, may hold the predictions of
/// several models.
///
/// # Errors
/// Invalid input, with the column or row, if the file is not such a table; if it holds several
/// models and none is chosen, or the chosen one is not in it.
pub fn read(name: &str, bytes: Bytes, choice: Choice<'_>) -> Result<Vec<Row>> {
    let cell = choice.cell;
    let failed = |error: ParquetError| {
        Error::invalid(format!("{name}: not a Parquet file that can be read (compression none or snappy)"))
            .with_source(error)
    };
    let reader = SerializedFileReader::new(bytes).map_err(failed)?;
    let fields = reader.metadata().file_metadata().schema_descr().root_schema().get_fields();
    let names: BTreeSet<&str> = fields.iter().map(|field| field.name()).collect();
    if let Some(missing) = ["user", "movie", "p_dislike", "p_neutral", "p_like"].iter().find(|n| !names.contains(*n)) {
        let has: Vec<&str> = fields.iter().map(|field| field.name()).collect();
        return Err(Error::invalid(format!("{name}: no column {missing}; it has {}", has.join(", "))));
    }
    if let (Some(cell), false) = (cell, names.contains("cell")) {
        return Err(Error::invalid(format!("{name}: no column cell, so that the cell `{cell}` cannot be chosen")));
    }
    let mut rows = Vec::new();
    // Values of the column `cell` in order of appearance: in the table, and in the rows that are
    // kept.
    let (mut all, mut kept): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for (number, row) in reader.get_row_iter(None).map_err(failed)?.enumerate() {
        let cells: BTreeMap<String, Field> =
            row.map_err(failed)?.get_column_iter().map(|(name, field)| (name.clone(), field.clone())).collect();
        let wrong = |column: &str, what: &str| {
            let found = cells.get(column).map_or_else(|| "nothing".to_owned(), Field::to_string);
            Error::invalid(format!("{name} row {}: {column} is not {what}: {found}", number + 1))
        };
        let named = |column: &str| cells.get(column).and_then(text).unwrap_or_default();
        let model = (named("cell"), named("row"));
        let is_wanted = cell.is_none_or(|wanted| [&model.0, &model.1].iter().any(|own| *own == wanted));
        for models in [Some(&mut all), is_wanted.then_some(&mut kept)].into_iter().flatten() {
            if !models.contains(&model.0) {
                models.push(model.0.clone());
            }
        }
        if !is_wanted {
            continue;
        }
        let id = |column: &str| {
            cells.get(column).and_then(text).filter(|id| !id.is_empty()).ok_or_else(|| wrong(column, "an id"))
        };
        let share = |column: &str| {
            let value = cells.get(column).and_then(float).filter(|p| (0.0..=1.0).contains(p));
            value.ok_or_else(|| wrong(column, "a probability from 0 to 1"))
        };
        let probabilities = [share("p_dislike")?, share("p_neutral")?, share("p_like")?];
        let weight = |column: &str| {
            let value = cells.get(column).and_then(float).filter(|weight| *weight > 0.0 && weight.is_finite());
            value.map(|weight| weight as f32).ok_or_else(|| wrong(column, "a class weight above 0"))
        };
        let weights = match WEIGHTS.iter().any(|column| names.contains(column)) {
            true => Some([weight(WEIGHTS[0])?, weight(WEIGHTS[1])?, weight(WEIGHTS[2])?]),
            false => None,
        };
        let sum: f64 = probabilities.iter().sum();
        if (sum - 1.0).abs() > ROUNDING {
            return Err(Error::invalid(format!("{name} row {}: the probabilities add up to {sum}, not 1", number + 1)));
        }
        let fold = match cells.get("fold").and_then(text) {
            None => 0,
            Some(fold) => fold.parse().map_err(|_| wrong("fold", "the number of a fold"))?,
        };
        rows.push(Row {
            fold,
            user: id("user")?,
            movie: id("movie")?,
            actual: cells.get("actual").and_then(text).as_deref().and_then(Label::from_file_value),
            probabilities: probabilities.map(|p| p as f32),
            weights,
        });
    }
    let listed = |models: &[String]| models.iter().map(|cell| format!("\n  {cell}")).collect::<String>();
    match cell {
        _ if kept.len() > 1 => {
            return Err(Error::invalid(format!(
                "{name} holds the predictions of {} models: choose one with {} NAME, where NAME is one of{}",
                kept.len(),
                choice.option,
                listed(&kept)
            )));
        }
        Some(wanted) if rows.is_empty() && !all.is_empty() => {
            return Err(Error::invalid(format!("{name}: no row has the cell `{wanted}`; it has{}", listed(&all))));
        }
        _ => {}
    }
    if rows.is_empty() {
        return Err(Error::invalid(format!("{name}: the table has no rows")));
    }
    Ok(rows)
}

fn text(field: &Field) -> Option<String> {
    match field {
        Field::Str(text) => Some(text.clone()),
        Field::Bytes(bytes) => bytes.as_utf8().ok().map(str::to_owned),
        Field::Byte(_)
        | Field::Short(_)
        | Field::Int(_)
        | Field::Long(_)
        | Field::UByte(_)
        | Field::UShort(_)
        | Field::UInt(_)
        | Field::ULong(_) => Some(field.to_string()),
        Field::Double(number) if number.fract() == 0.0 => Some(format!("{number:.0}")),
        _ => None,
    }
}

fn float(field: &Field) -> Option<f64> {
    match field {
        Field::Float(value) => Some(f64::from(*value)),
        Field::Double(value) => Some(*value),
        Field::Int(value) => Some(f64::from(*value)),
        Field::Long(value) => Some(*value as f64),
        _ => None,
    }
}

/// Predictions matched with the ratings of a dataset.
#[derive(Debug)]
pub struct Matched {
    /// The folds, in order, with the dataset's labels.
    pub folds: Vec<FoldResult>,
    /// Rows whose pair the dataset does not have.
    pub unknown: usize,
    /// The first of them.
    pub first_unknown: Option<String>,
}

/// Matches predictions with the ratings of the dataset, whose labels count.
///
/// # Errors
/// Invalid input if no row is a rating of the dataset, a pair is predicted twice in a fold, or the
/// file's actual class of a pair differs from the dataset's.
pub fn matched(name: &str, rows: &[Row], dataset: &Dataset) -> Result<Matched> {
    let weights = weights_of_folds(name, rows)?;
    let mut folds: BTreeMap<u32, BTreeMap<(u32, u32), Prediction>> = BTreeMap::new();
    let (mut unknown, mut first_unknown) = (0, None);
    for row in rows {
        let pair = || Some((dataset.find_user(&row.user)? as u32, dataset.find_movie(&row.movie)? as u32));
        let rating = pair().and_then(|pair| {
            let place = dataset.ratings.binary_search_by_key(&pair, |rating| (rating.user, rating.movie)).ok()?;
            Some(dataset.ratings[place])
        });
        let about = || row.about();
        let Some(rating) = rating else {
            unknown += 1;
            first_unknown.get_or_insert_with(about);
            continue;
        };
        if let Some(actual) = row.actual.filter(|actual| *actual != rating.label) {
            let (theirs, ours) = (actual.name(), rating.label.name());
            return Err(Error::invalid(format!(
                "{name}: {} is a {theirs} in the file and a {ours} in the dataset: score it with the dataset and the \
                 scale that it was made for",
                about()
            )));
        }
        let prediction = Prediction {
            user: rating.user,
            movie: rating.movie,
            actual: rating.label,
            probabilities: row.probabilities,
        };
        let fold = folds.entry(row.fold).or_default();
        // A protocol that copies pairs tests them twice, with one result.
        match fold.insert((rating.user, rating.movie), prediction) {
            Some(first) if first.probabilities != row.probabilities => return Err(predicted_twice(name, row)),
            _ => {}
        }
    }
    if folds.is_empty() {
        return Err(Error::invalid(format!(
            "{name}: no row is a rating of the dataset; the first is {}",
            first_unknown.unwrap_or_default()
        )));
    }
    if unknown * 2 > rows.len() {
        return Err(Error::invalid(format!(
            "{name}: {unknown} of {} rows match no rating of the dataset, the first is {}: is it of another dataset, or are \
             the columns user and movie swapped?",
            rows.len(),
            first_unknown.unwrap_or_default()
        )));
    }
    let fold = |(fold, predictions): (u32, BTreeMap<(u32, u32), Prediction>)| {
        let (balance, test_pairs) = (weights.get(&fold).copied(), predictions.len());
        let mut result = FoldResult { fold: fold as usize, test_pairs, balance, ..FoldResult::default() };
        for prediction in predictions.into_values() {
            result.confusion[prediction.actual.index()][predicted_class(&prediction.probabilities)] += 1;
            result.predictions.push(prediction);
        }
        result
    };
    Ok(Matched { folds: folds.into_iter().map(fold).collect(), unknown, first_unknown })
}

/// Returns the class weights of the folds that have some.
///
/// # Errors
/// Invalid input if two rows of a fold have different ones.
fn weights_of_folds(name: &str, rows: &[Row]) -> Result<BTreeMap<u32, [f32; CLASSES]>> {
    let mut of_folds = BTreeMap::new();
    for (row, weights) in rows.iter().filter_map(|row| Some((row, row.weights?))) {
        if *of_folds.entry(row.fold).or_insert(weights) != weights {
            return Err(Error::invalid(format!(
                "{name}: {} has other class weights (w_dislike, w_neutral, w_like) than the rows of fold {} before it: \
                 keep the rows of one model, and the column fold",
                row.about(),
                row.fold
            )));
        }
    }
    Ok(of_folds)
}

fn predicted_twice(name: &str, row: &Row) -> Error {
    Error::invalid(format!(
        "{name}: {} is predicted twice in fold {}: keep the rows of one model",
        row.about(),
        row.fold
    ))
}

/// Turns rows into folds without a dataset: users and movies get numbers in the order of `ids`,
/// which grows.
///
/// # Errors
/// Invalid input if a row has no actual class, or a pair is predicted twice in a fold.
pub fn unmatched(
    name: &str,
    rows: &[Row],
    ids: &mut (BTreeMap<String, u32>, BTreeMap<String, u32>),
) -> Result<Vec<FoldResult>> {
    fn number(of: &mut BTreeMap<String, u32>, id: &str) -> u32 {
        let next = u32::try_from(of.len()).unwrap_or(u32::MAX);
        *of.entry(id.to_owned()).or_insert(next)
    }
    let mut folds: BTreeMap<u32, FoldResult> = BTreeMap::new();
    let weights = weights_of_folds(name, rows)?;
    let mut predicted: BTreeMap<(u32, u32, u32), [f32; CLASSES]> = BTreeMap::new();
    for row in rows {
        let Some(actual) = row.actual else {
            return Err(Error::invalid(format!(
                "{name}: a row without an actual class (column `actual`: dislike, neutral, like): name the dataset \
                 with --dataset"
            )));
        };
        let (user, movie) = (number(&mut ids.0, &row.user), number(&mut ids.1, &row.movie));
        // A protocol that copies pairs tests them twice, with one result.
        if predicted.insert((row.fold, user, movie), row.probabilities).is_some_and(|first| first != row.probabilities)
        {
            return Err(predicted_twice(name, row));
        }
        let fold = folds.entry(row.fold).or_default();
        fold.fold = row.fold as usize;
        fold.balance = weights.get(&row.fold).copied();
        fold.test_pairs += 1;
        fold.confusion[actual.index()][predicted_class(&row.probabilities)] += 1;
        fold.predictions.push(Prediction { user, movie, actual, probabilities: row.probabilities });
    }
    Ok(folds.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{Movie, Rating, User};

    const ALL: Choice<'_> = Choice { cell: None, option: "--cell" };

    fn dataset() -> Dataset {
        let user = |id: &str| User { id: id.into(), ..User::default() };
        Dataset {
            name: "d".into(),
            synthetic: true,
            movies: ["7", "m2"].map(|id| Movie { id: id.into(), ..Movie::default() }).into(),
            users: vec![user("a"), user("b")],
            ratings: vec![
                Rating { user: 0, movie: 0, label: Label::Like, half_stars: None },
                Rating { user: 1, movie: 1, label: Label::Dislike, half_stars: None },
            ],
            times: Vec::new(),
            genres: Vec::new(),
        }
    }

    #[test]
    fn written_predictions_are_read_and_matched_as_they_were() {
        let dataset = dataset();
        let prediction = |user, movie, actual| Prediction { user, movie, actual, probabilities: [0.25, 0.25, 0.5] };
        let fold = |fold, prediction: Prediction| {
            let mut confusion = super::super::metrics::Confusion::default();
            confusion[prediction.actual.index()][2] = 1;
            FoldResult { fold, confusion, test_pairs: 1, predictions: vec![prediction], ..FoldResult::default() }
        };
        let folds = vec![fold(0, prediction(0, 0, Label::Like)), fold(1, prediction(1, 1, Label::Dislike))];
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("p.parquet");
        write(&path, &dataset, &folds, false).expect("room on disk");
        let mut rows = read("p.parquet", std::fs::read(&path).expect("just written").into(), ALL).expect("a table");
        assert_eq!(encode(&dataset, &folds).expect("it encodes"), std::fs::read(&path).expect("just written"));
        assert_eq!(matched("p", &rows, &dataset).expect("of the dataset").folds, folds);
        assert_eq!(unmatched("p", &rows, &mut Default::default()).expect("classes"), folds);

        // With class weights, the file holds what a class-weighted decision needs.
        let mut weighted = folds.clone();
        weighted[0].balance = Some([4.0, 1.0, 0.5]);
        weighted[1].balance = Some([1.0, 1.0, 1.0]);
        let path = folder.path().join("w.parquet");
        write(&path, &dataset, &weighted, true).expect("room on disk");
        let mut with = read("w.parquet", std::fs::read(&path).expect("just written").into(), ALL).expect("a table");
        assert_eq!(matched("w", &with, &dataset).expect("of the dataset").folds, weighted);
        assert_eq!(unmatched("w", &with, &mut Default::default()).expect("classes"), weighted);
        (with[1].fold, with[1].weights) = (0, Some([9.0, 1.0, 1.0]));
        assert!(matched("w", &with, &dataset).expect_err("two models").to_string().contains("other class weights"));

        rows[1].movie = "m9".into();
        let found = matched("p", &rows, &dataset).expect("one is known");
        assert_eq!((found.unknown, found.folds.len()), (1, 1));
        rows[0].actual = Some(Label::Neutral);
        assert!(
            matched("p", &rows, &dataset).expect_err("another dataset").to_string().contains("a like in the dataset")
        );
        assert!(read("p", Bytes::from_static(b"PAR1"), ALL).is_err());
    }

    #[test]
    fn rows_of_two_models_are_not_taken_for_one() {
        let row = |p_like| Row {
            fold: 0,
            user: "a".into(),
            movie: "7".into(),
            actual: Some(Label::Like),
            probabilities: [0.0, 1.0 - p_like, p_like],
            weights: None,
        };
        let of = |rows: &[Row]| unmatched("p", rows, &mut Default::default());
        assert!(of(&[row(0.5), row(0.75)]).expect_err("two models").to_string().contains("predicted twice in fold 0"));
        assert!(matched("p", &[row(0.5), row(0.75)], &dataset()).is_err());
        assert_eq!(of(&[row(0.5), row(0.5)]).expect("a copied pair")[0].test_pairs, 2);
    }
}
