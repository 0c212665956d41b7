//! `jhalak recommend --all-users`: the lists of every user, in one process and one file.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use jhalak_common::counted::counted;
use jhalak_common::process::{exit, shutdown};
use jhalak_common::{Error, Result};
use jhalak_worker::blocking::compute_until;
use jhalak_worker::recommend::serving::{RankBy, RankedMovie, ViewerList, doubt};
use parquet::data_type::{ByteArray, ByteArrayType, FloatType, Int32Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::json;

use super::viewer_args::Loaded;
use crate::console::files;
use crate::console::output::Output;

const SCHEMA: &str = "message recommendations {
    required binary user (STRING);
    required int32 rank;
    required binary movie (STRING);
    required float score;
    required float p_dislike;
    required float p_neutral;
    required float p_like;
    required float doubt;
    required int32 ratings;
}";

/// The requested file and its lists.
pub struct Request<'a> {
    /// The order of the lists.
    pub by: RankBy,
    /// Its name.
    pub ranked_by: &'static str,
    /// Length of the lists.
    pub top: usize,
    /// The file, which must not exist.
    pub out: &'a Path,
    /// Threads; `None` for one per core.
    pub threads: Option<usize>,
}

/// Makes the lists and writes them.
pub async fn execute(loaded: Loaded, request: &Request<'_>, output: &Output) -> Result<u8> {
    let Loaded { served, which, facts } = loaded;
    let name = request.out.display();
    if request.out.exists() {
        return Err(Error::invalid(format!("{name} exists: remove it, or name another file")));
    }
    let stopped = shutdown::on_signal()?;
    let threads = request.threads.map(|threads| threads.max(1));
    let threads = threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let dataset = served.dataset().clone();
    let bar = output.progress.steps("users", dataset.users.len());
    let (query, top) = ((which, request.by), request.top);
    let lists = compute_until(&stopped, move |stop| {
        let lists = served.all_viewers(query, top, threads, stop, || bar.step(""));
        bar.end();
        lists
    });
    let lists = lists.await.map_err(|e| e.context("recommend to all users"))?;
    let mut ratings = vec![0_i32; dataset.movies.len()];
    dataset.ratings.iter().for_each(|rating| ratings[rating.movie as usize] += 1);
    let ids = (
        dataset.users.iter().map(|user| user.id.as_str()).collect::<Vec<_>>(),
        dataset.movies.iter().map(|movie| movie.id.as_str()).collect::<Vec<_>>(),
    );
    files::make_folder_of(request.out)?;
    write(request.out, &lists, (&ids.0, &ids.1), &ratings)?;
    let rows: usize = lists.iter().map(|list| list.movies.len()).sum();
    let text = format!(
        "{name}: {}, lists of {}, by {}\n{}",
        counted(rows as u64, "row"),
        counted(lists.len() as u64, "user"),
        request.ranked_by,
        facts.lines()
    );
    let answer = json!({
        "out": request.out, "users": lists.len(), "rows": rows, "ranked_by": request.ranked_by, "model": facts,
    });
    output.print(&answer, &text)?;
    Ok(exit::DONE)
}

/// Writes one row for each movie of each list.
fn write(path: &Path, lists: &[ViewerList], (users, movies): (&[&str], &[&str]), ratings: &[i32]) -> Result<()> {
    let file = files::create_new(path)?;
    write_to(file, lists, (users, movies), ratings).map_err(|e| {
        // A part of a table is of no use, and would be in the way of the next try.
        let _ = std::fs::remove_file(path);
        files::with_way_out(Error::of_writer(e), path)
    })
}

fn write_to(
    file: File,
    lists: &[ViewerList],
    (users, movies): (&[&str], &[&str]),
    ratings: &[i32],
) -> Result<(), ParquetError> {
    let schema = Arc::new(parse_message_type(SCHEMA)?);
    let properties = WriterProperties::builder().set_created_by("jhalak".into()).build();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties))?;
    let rows =
        || lists.iter().flat_map(|list| list.movies.iter().zip(1_i32..).map(move |(one, rank)| (list, rank, one)));
    let mut group = writer.next_row_group()?;
    let mut place = 0;
    while let Some(mut column) = group.next_column()? {
        match place {
            0 | 2 => {
                let text = |(list, _, one): (&ViewerList, i32, &RankedMovie)| {
                    ByteArray::from(if place == 0 { users[list.user as usize] } else { movies[one.movie as usize] })
                };
                column.typed::<ByteArrayType>().write_batch(&rows().map(text).collect::<Vec<_>>(), None, None)
            }
            1 | 8 => {
                let number = |(_, rank, one): (&ViewerList, i32, &RankedMovie)| {
                    if place == 1 { rank } else { ratings[one.movie as usize] }
                };
                column.typed::<Int32Type>().write_batch(&rows().map(number).collect::<Vec<_>>(), None, None)
            }
            place => {
                let float = |(_, _, one): (&ViewerList, i32, &RankedMovie)| match place {
                    3 => one.score,
                    7 => doubt(one.probabilities, u64::try_from(ratings[one.movie as usize]).unwrap_or(0)),
                    class => one.probabilities[class - 4],
                };
                column.typed::<FloatType>().write_batch(&rows().map(float).collect::<Vec<_>>(), None, None)
            }
        }?;
        column.close()?;
        place += 1;
    }
    group.close()?;
    writer.close()?;
    Ok(())
}
