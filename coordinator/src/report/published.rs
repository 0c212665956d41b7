//! The paper's own figures for the cells of its tables: accuracy in percent, mean and, where printed, standard deviation over five splits.
//!
//! Mondal et al., "Genre Effect Toward Developing a Multi-Modal Movie Recommendation System in Indian Setting", IEEE Transactions on
//! Consumer Electronics 2023, DOI 10.1109/TCE.2023.3324009. Video figures are those of equal-interval keyframes and TimeSformer, audio
//! figures those of wav2vec 2.0 with genre head.

use super::Published;

/// The user embeddings, in the order of the columns below.
const USER_EMBEDDINGS: [&str; 4] = ["L", "L+D", "L+N", "L+D+N"];

/// One row of a published table; a deviation of 0 was not printed.
struct Row {
    modality: &'static str,
    model: &'static str,
    gl: bool,
    table: &'static str,
    figures: [(f64, f64); 4],
}

const fn bare(figures: [f64; 4]) -> [(f64, f64); 4] {
    let [a, b, c, d] = figures;
    [(a, 0.0), (b, 0.0), (c, 0.0), (d, 0.0)]
}

const ROWS: [Row; 11] = [
    row("video", "classifier", true, "Table II", [(74.711, 0.33), (74.278, 0.15), (74.083, 0.22), (73.883, 0.38)]),
    row("video", "classifier", false, "Table II", [(64.772, 0.59), (54.939, 0.29), (55.028, 0.23), (59.898, 0.87)]),
    row("audio", "classifier", true, "Table III", [(79.176, 0.61), (76.215, 0.43), (76.271, 0.23), (80.559, 0.17)]),
    row("audio", "classifier", false, "Table III", [(71.443, 0.36), (54.637, 0.58), (55.056, 0.27), (69.046, 0.5)]),
    row("audio+video", "classifier", true, "Table VI", bare([77.0, 75.0, 75.0, 75.0])),
    row("audio+video", "classifier", false, "Figure 7, read off the chart", bare([67.0, 53.0, 54.0, 64.0])),
    row("genre", "classifier", true, "Figure 7, read off the chart", bare([51.0, 53.0, 49.0, 53.0])),
    row("genre", "classifier", false, "Figure 7, read off the chart", bare([36.5, 31.0, 34.5, 34.5])),
    row("video", "ann", true, "Table VI", bare([71.4, 70.0, 70.8, 70.8])),
    row("audio", "ann", true, "Table VI", bare([71.0, 68.0, 67.8, 69.0])),
    row("audio+video", "ann", true, "Table VI", bare([72.0, 71.0, 70.2, 70.8])),
];

const fn row(
    modality: &'static str,
    model: &'static str,
    gl: bool,
    table: &'static str,
    figures: [(f64, f64); 4],
) -> Row {
    Row { modality, model, gl, table, figures }
}

/// What the paper prints for this cell, as shares; `None` where it prints nothing.
pub fn published(modality: &str, model: &str, user_embedding: &str, gl: bool) -> Option<Published> {
    let column = USER_EMBEDDINGS.iter().position(|name| *name == user_embedding)?;
    let row = ROWS.iter().find(|row| row.modality == modality && row.model == model && row.gl == gl)?;
    let (mean, sd) = row.figures[column];
    Some(Published { mean: mean / 100.0, sd: (sd > 0.0).then_some(sd / 100.0), table: row.table.to_owned() })
}
