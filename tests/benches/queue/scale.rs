//! A dataset of many trailers: what planning, publishing and finding everything done cost the
//! coordinator. The trailers are stand-ins of a few bytes and so is what is made of them; the
//! coordinator is the real one.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use jhalak_common::Result;
use jhalak_common::artifact::embedding_file;
use jhalak_common::artifact::{self, ArtifactKey, ArtifactKind, Body};
use jhalak_common::evaluation::RESULT_FILE;
use jhalak_common::queue::{self, Channel, Delivery, Queue, WorkKind};
use jhalak_common::run::job::{Job, JobResult, Outcome, Task};
use jhalak_common::run::{self, RunSpec};
use jhalak_common::store::ObjectStore;
use serde_json::json;
use tokio::sync::{Mutex, Semaphore};

use crate::listed_artifacts::{ListedArtifacts, listed};
use crate::{Bench, Running};

/// Results of cells by cell and fold, computed once over the smallest dataset: what a cell holds is
/// nothing to the coordinator.
type Results = Arc<Mutex<BTreeMap<String, Bytes>>>;

pub async fn run(bench: &Bench, sizes: &[usize]) {
    let results = Results::default();
    for (round, &trailers) in sizes.iter().enumerate() {
        match trailers > MOST_STORED {
            true => large(bench, trailers, &results).await.expect("the servers run"),
            false => one(bench, trailers, &results, round == 0).await.expect("the servers run"),
        }
    }
}

/// Trailers whose objects are stored. Those of more are listed by a manifest, and their artifacts
/// by [`ListedArtifacts`].
const MOST_STORED: usize = 100_000;

/// A catalogue without a single object of a trailer: what planning, the end of the run (listing,
/// gathering, training, report) and a second submit cost the coordinator. Needs the results of a
/// smaller size.
async fn large(bench: &Bench, trailers: usize, results: &Results) -> Result<()> {
    assert!(!results.lock().await.is_empty(), "the first size is at most {MOST_STORED}");
    let name = format!("scale-{trailers}");
    let dataset = bench.place(&format!("{name}-data"));
    let tables = bench.server.store_at(&dataset).await;
    put_tables(tables.as_ref(), trailers).await?;
    let folder = tempfile::tempdir()?;
    let manifest = folder.path().join("objects.csv");
    let prefix = dataset.trim_start_matches("s3://").split_once('/').map_or("", |(_, prefix)| prefix);
    let mut objects = BufWriter::new(File::create(&manifest)?);
    writeln!(objects, "key,size,etag")?;
    for trailer in 0..trailers {
        let (size, tag) = listed(trailer);
        writeln!(objects, "{prefix}/trailers/tt{trailer:07}.mp4,{size},{}", tag.trim_matches('"'))?;
    }
    objects.flush()?;
    let before = ListedArtifacts::start(&bench.server.endpoint, trailers).await?;
    let submit = || {
        let mut command = bench.command("jhalak", &name);
        command.args(["submit", "--quiet", "--dataset", &dataset, "--manifest"]).arg(&manifest);
        Running::start(command.env("JHALAK__S3__ENDPOINT", &before.endpoint))
    };
    let say = |what: &str, began: Instant, cpu: f64, peak: u64| {
        let requests: Vec<String> =
            before.take_counts().iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        println!(
            "{trailers} trailers: {what} {:.1} s, CPU time {cpu:.1} s, peak memory {peak} MB, requests: {}",
            began.elapsed().as_secs_f64(),
            requests.join(", ")
        );
    };
    let queue = queue::open(&bench.broker.url(), &bench.settings(&name)).await?;
    let began = Instant::now();
    let mut first = submit();
    while queue.depth(&Channel::Work(WorkKind::Extract)).await? == 0 {
        assert!(first.0.try_wait()?.is_none(), "submit ended before it had published");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    say("planned, first jobs published in", began, first.cpu_s().unwrap_or(0.0), first.peak_mb().unwrap_or(0));
    drop(first);
    let store = bench.server.store_at(&bench.place(&name)).await;
    let runs: Vec<String> = store.list("runs/").map_ok(|object| object.key).try_collect().await?;
    let spec = runs.iter().find(|key| key.ends_with("/spec.json")).expect("a planned run");
    let spec: RunSpec = run::get_json(store.as_ref(), spec).await?.expect("just listed");
    *before.recipes.lock().expect("no panic") = spec.recipes;
    before.committed.store(true, Ordering::SeqCst);
    before.take_counts();
    let training = tokio::spawn(stand_in(queue.clone(), store.clone(), WorkKind::Train, results.clone()));
    let began = Instant::now();
    let (code, peak, cpu) = end_of(&mut submit()).await?;
    say(&format!("every artifact found, gathered and reported, ended with {code} in"), began, cpu, peak);
    training.abort();
    let began = Instant::now();
    let (code, peak, cpu) = end_of(&mut submit()).await?;
    say(&format!("second submit ended with {code} after"), began, cpu, peak);
    queue.close().await;
    Ok(())
}

async fn one(bench: &Bench, trailers: usize, results: &Results, real_training: bool) -> Result<()> {
    let name = format!("scale-{trailers}");
    let dataset = bench.place(&format!("{name}-data"));
    let began = Instant::now();
    make_dataset(bench.server.store_at(&dataset).await.as_ref(), trailers).await?;
    println!("{trailers} trailers: stand-ins written in {:.0} s", began.elapsed().as_secs_f64());

    let queue = queue::open(&bench.broker.url(), &bench.settings(&name)).await?;
    let store = bench.server.store_at(&bench.place(&name)).await;
    let submit = || {
        let mut command = bench.command("jhalak", &name);
        command.args(["submit", "--quiet", "--dataset", &dataset]);
        Running::start(&mut command)
    };
    let began = Instant::now();
    let mut first = submit();
    // A run keeps few jobs on the queue before it knows its workers.
    while queue.depth(&Channel::Work(WorkKind::Extract)).await? == 0 {
        assert!(first.0.try_wait()?.is_none(), "submit ended before it had published");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!(
        "{trailers} trailers: planned, first jobs published in {:.1} s, CPU time {:.1} s, peak memory {} MB",
        began.elapsed().as_secs_f64(),
        first.cpu_s().unwrap_or(0.0),
        first.peak_mb().unwrap_or(0)
    );
    let extracting = tokio::spawn(stand_in(queue.clone(), store.clone(), WorkKind::Extract, results.clone()));
    let (mut training, mut trainer) = (None, None);
    if real_training {
        trainer =
            Some(Running::start(bench.command("jhalak-worker", &name).args(["--kinds", "train", "--slots", "2"])));
    } else {
        training = Some(tokio::spawn(stand_in(queue.clone(), store.clone(), WorkKind::Train, results.clone())));
    }
    let (code, peak, _) = end_of(&mut first).await?;
    println!(
        "{trailers} trailers: run ended with {code} after {:.0} s, peak memory {peak} MB",
        began.elapsed().as_secs_f64()
    );
    extracting.abort();
    training.inspect(|t| t.abort());
    drop(trainer);
    if real_training {
        keep_results(store.as_ref(), results).await?;
    }
    let began = Instant::now();
    let (code, peak, cpu) = end_of(&mut submit()).await?;
    println!(
        "{trailers} trailers: second submit ended with {code} after {:.1} s, CPU time {cpu:.1} s, peak memory {peak} MB",
        began.elapsed().as_secs_f64()
    );
    queue.close().await;
    Ok(())
}

/// Returns the exit code of a process, its peak memory in MB and its CPU time in seconds.
async fn end_of(process: &mut Running) -> Result<(i32, u64, f64)> {
    let (mut peak, mut cpu) = (0, 0.0);
    loop {
        peak = process.peak_mb().unwrap_or(0).max(peak);
        cpu = process.cpu_s().unwrap_or(0.0).max(cpu);
        if let Some(status) = process.0.try_wait()? {
            return Ok((status.code().unwrap_or(-1), peak, cpu));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn make_dataset(store: &dyn ObjectStore, trailers: usize) -> Result<()> {
    put_tables(store, trailers).await?;
    stream::iter(0..trailers)
        .map(Ok)
        .try_for_each_concurrent(64, |n| async move {
            store.put(&format!("trailers/tt{n:07}.mp4"), Bytes::from(format!("stand-in for trailer {n}"))).await
        })
        .await
}

async fn put_tables(store: &dyn ObjectStore, trailers: usize) -> Result<()> {
    let mut movies = String::from("movie_id,description,language,released,rating,writer,director,cast,genre,name\n");
    for n in 0..trailers {
        let genre = ["Drama", "Comedy", "Action"][n % 3];
        let _ = writeln!(
            movies,
            "tt{n:07},about {n},\"[\"\"Hindi\"\"]\",2016-02-19,7.1,[],[],[],\"[\"\"{genre}\"\"]\",Movie {n}"
        );
    }
    store.put("movies.csv", movies.into()).await?;
    let mut ratings = String::new();
    for user in 0..40usize {
        let rated: Vec<String> = (0..50)
            .map(|movie| format!("\"tt{movie:07}\": [\"{}\"]", (user * 7 + movie * 5 + user * movie) as i64 % 3 - 1))
            .collect();
        let _ = writeln!(ratings, "{{\"_id\": \"u{user:02}\", \"rated\": {{{}}}}}", rated.join(", "));
    }
    store.put("ratings.json", ratings.into()).await
}

/// Does what a worker does, but for the work: commits something small for everything that is
/// wanted, sends the result, acknowledges.
async fn stand_in(queue: Arc<dyn Queue>, store: Arc<dyn ObjectStore>, kind: WorkKind, results: Results) -> Result<()> {
    let mut deliveries = queue.consume(&Channel::Work(kind), 500).await?;
    let slots = Arc::new(Semaphore::new(64));
    while let Some(delivery) = deliveries.next().await? {
        let slot = slots.clone().acquire_owned().await.expect("it is never closed");
        let (queue, store, results) = (queue.clone(), store.clone(), results.clone());
        tokio::spawn(async move {
            settle(queue.as_ref(), store.as_ref(), &results, delivery).await.expect("the servers run");
            drop(slot);
        });
    }
    Ok(())
}

async fn settle(queue: &dyn Queue, store: &dyn ObjectStore, results: &Results, delivery: Delivery) -> Result<()> {
    let job = Job::decode(&delivery.body)?;
    let made = job.task.artifacts().len();
    match &job.task {
        Task::Extract(task) => {
            for recipe in &task.wanted {
                let embeds = matches!(recipe.kind, ArtifactKind::VideoEmbedding | ArtifactKind::AudioEmbedding);
                let files = match embeds {
                    true => vec![(
                        embedding_file::FILE,
                        Body::Bytes(embedding_file::encode(&[0.5; 16], None, &serde_json::json!({}))?),
                    )],
                    false => Vec::new(),
                };
                artifact::commit(store, recipe, &task.trailer.subject, files, json!({})).await?;
            }
        }
        Task::Cell(task) => {
            let key = format!("{}-{}", task.cell.name(), task.fold);
            let bytes = results.lock().await.get(&key).cloned().unwrap_or_default();
            let files = vec![(RESULT_FILE, Body::Bytes(bytes))];
            artifact::commit(store, &task.recipe, &task.dataset, files, json!({})).await?;
        }
        Task::Fit(task) => {
            artifact::commit(store, &task.recipe, &task.dataset, Vec::new(), json!({})).await?;
        }
        Task::Probe(_) => {}
    }
    let outcome = Outcome::Committed { made, seconds: BTreeMap::new() };
    let result = JobResult::new(&job.id, &job.run, outcome);
    queue.publish(&Channel::Results(job.run.clone()), result.encode()?).await?;
    delivery.ack().await.map(drop)
}

/// Keeps the results of the cells that real workers computed, for the stand-ins of larger datasets.
async fn keep_results(store: &dyn ObjectStore, results: &Results) -> Result<()> {
    let keys: Vec<String> = store.list("artifacts/cell/").map_ok(|o| o.key).try_collect().await?;
    for key in keys.iter().filter(|key| key.ends_with("commit.json")) {
        let record: artifact::CommitRecord = serde_json::from_slice(&store.get(key).await?)
            .map_err(|e| jhalak_common::Error::bug("a record").with_source(e))?;
        let cell: jhalak_common::evaluation::CellSpec = serde_json::from_value(record.facts["cell"].clone())
            .map_err(|e| jhalak_common::Error::bug("a cell").with_source(e))?;
        let bytes = store.get(&ArtifactKey::new(&record.recipe, &record.subject).file(RESULT_FILE)).await?;
        results.lock().await.insert(format!("{}-{}", cell.name(), record.facts["fold"]), bytes);
    }
    Ok(())
}
