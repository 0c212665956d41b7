//! The dispatch of a stage over an in-memory queue and a local store.

use super::*;
use crate::run::testing::{self, Bench, plan};
use jhalak_common::queue::{Queue, WorkKind};
use jhalak_common::run::job::Job;
use jhalak_common::run::job::Outcome;

const EXTRACT: Channel = Channel::Work(WorkKind::Extract);

fn extraction<'a>(jobs: &'a Jobs<'a>) -> StageJobs<'a> {
    StageJobs { stage: Stage::Extracting, jobs, all: jobs.len(), quarantined: 0 }
}

#[tokio::test]
async fn a_stage_without_jobs_completes_at_once() {
    let bench = Bench::new();
    let plan = plan(3);
    let jobs = Jobs::extractions(&plan, bench.store.url(), &[0, 0, 0]);
    let work = StageJobs { stage: Stage::Extracting, jobs: &jobs, all: 3, quarantined: 1 };
    let ended = run(&bench.context(16), &plan, work).await.expect("a stage");
    assert!(matches!(ended, Ended::Completed(0)), "{ended:?}");
    let state = bench.state(&plan).await;
    assert_eq!((state.jobs, state.committed, state.quarantined, state.before), (3, 2, 1, 3));
}

#[tokio::test]
async fn a_stage_sends_all_jobs_through_a_small_window_and_counts_what_was_made() {
    let bench = Bench::with_workers();
    let plan = plan(9);
    let jobs = Jobs::extractions(&plan, bench.store.url(), &[0b111; 9]);
    bench.poisoned.lock().expect("no panic").insert("m4".into());
    let ended = run(&bench.context(2), &plan, extraction(&jobs)).await.expect("a stage");
    assert!(matches!(ended, Ended::Completed(24)), "{ended:?}");
    let state = bench.state(&plan).await;
    assert_eq!((state.jobs, state.committed, state.quarantined), (9, 8, 1));
}

#[tokio::test]
async fn a_stage_has_no_more_jobs_on_the_queue_than_its_window_and_leaves_them_there_when_stopped() {
    let bench = Bench::new();
    let plan = plan(9);
    let jobs = Jobs::extractions(&plan, bench.store.url(), &[0b111; 9]);
    bench.signals.stop.cancel();
    let error = run(&bench.context(4), &plan, extraction(&jobs)).await.expect_err("it was stopped");
    assert_eq!(error.kind(), jhalak_common::ErrorKind::Cancelled);
    assert_eq!(bench.queue.depth(&EXTRACT).await.expect("an open queue"), 4);
}

#[tokio::test]
async fn a_superseded_coordinator_stops_and_sends_nothing_more() {
    let bench = Bench::new();
    let plan = plan(9);
    let jobs = Jobs::extractions(&plan, bench.store.url(), &[0b111; 9]);
    bench.signals.superseded.cancel();
    let ended = run(&bench.context(4), &plan, extraction(&jobs)).await.expect("a stage");
    assert!(matches!(ended, Ended::Superseded), "{ended:?}");
    assert_eq!(bench.queue.depth(&EXTRACT).await.expect("an open queue"), 4);
}

#[tokio::test]
async fn a_cancelled_stage_drains_running_jobs_and_counts_those_left() {
    let bench = Bench::new();
    let plan = plan(3);
    let jobs = Jobs::extractions(&plan, bench.store.url(), &[0b111; 3]);
    let worker = async {
        let mut deliveries = bench.queue.consume(&EXTRACT, 4).await.expect("an open queue");
        for i in 0..3 {
            let delivery = deliveries.next().await.expect("an open queue").expect("a message");
            let job = Job::decode(&delivery.body).expect("a job");
            delivery.ack().await.expect("an open queue");
            // The first job is running when the run is cancelled, the others are dropped.
            let outcome = match i {
                0 => {
                    bench.signals.cancelled.cancel();
                    let made = testing::commit(bench.store.as_ref(), &job).await;
                    Outcome::Committed { made, seconds: BTreeMap::new() }
                }
                _ => Outcome::Cancelled,
            };
            testing::publish_result(&bench.queue, &job, outcome).await;
        }
    };
    let context = bench.context(16);
    let (ended, ()) = tokio::join!(run(&context, &plan, extraction(&jobs)), worker);
    assert!(matches!(ended.expect("a stage"), Ended::Cancelled));
    let state = bench.state(&plan).await;
    assert_eq!((state.stage, state.committed, state.cancelled), (Stage::Cancelled, 1, 2));
}

#[tokio::test]
async fn results_of_unknown_jobs_and_unreadable_results_are_ignored() {
    let bench = Bench::with_workers();
    let plan = plan(2);
    let jobs = Jobs::extractions(&plan, bench.store.url(), &[0b111, 0]);
    let other = Jobs::extractions(&plan, bench.store.url(), &[0, 0b111]).build(0);
    let context = bench.context(16);
    let noise = async {
        // Published once the stage consumes: without a consumer results are dropped.
        tokio::task::yield_now().await;
        let body = bytes::Bytes::from_static(b"noise");
        bench.queue.publish(&Channel::Results(plan.spec.id.clone()), body).await.expect("an open queue");
        let outcome = Outcome::Committed { made: 100, seconds: BTreeMap::new() };
        testing::publish_result(&bench.queue, &other, outcome).await;
    };
    // This consumer keeps the channel from the start.
    let _results = bench.queue.consume(&Channel::Results(plan.spec.id.clone()), 1).await.expect("an open queue");
    let (ended, ()) = tokio::join!(run(&context, &plan, extraction(&jobs)), noise);
    assert!(matches!(ended.expect("a stage"), Ended::Completed(3)));
}

/// A worker of four slots that takes its jobs in the order of the queue, and the runs that they
/// are of.
async fn in_order(bench: &Bench, until: usize) -> Vec<String> {
    let mut deliveries = bench.queue.consume(&EXTRACT, 4).await.expect("an open queue");
    let mut runs = Vec::new();
    while runs.len() < until {
        let delivery = deliveries.next().await.expect("an open queue").expect("a message");
        let job = Job::decode(&delivery.body).expect("a job");
        runs.push(job.run.clone());
        let made = testing::commit(bench.store.as_ref(), &job).await;
        testing::publish_result(&bench.queue, &job, Outcome::Committed { made, seconds: BTreeMap::new() }).await;
        delivery.ack().await.expect("an open queue");
        // Jobs take longer than a coordinator needs to send the next ones.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    runs
}

#[tokio::test]
async fn a_small_run_behind_a_large_one_gets_its_turn() {
    let bench = Bench::new();
    let (large, mut small) = (plan(120), plan(132));
    // Other trailers: those of the large run are not committed for it.
    small.spec.id = "small-1".into();
    small.trailers.trailers = small.trailers.trailers[120..].to_vec().into();
    let large_jobs = Jobs::extractions(&large, bench.store.url(), &[0b111; 120]);
    let small_jobs = Jobs::extractions(&small, bench.store.url(), &[0b111; 12]);
    let (first, second) = (bench.context(2_000), bench.context(2_000));
    let later = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        run(&second, &small, extraction(&small_jobs)).await.expect("a stage")
    };
    let (worked, _, ended) = tokio::join!(
        in_order(&bench, 132),
        async { run(&first, &large, extraction(&large_jobs)).await.expect("a stage") },
        later
    );
    assert!(matches!(ended, Ended::Completed(36)), "{ended:?}");
    let place = worked.iter().rposition(|run| *run == "small-1").expect("it ran");
    assert!(place < 80, "the small run ended as number {place} of 132");
}
