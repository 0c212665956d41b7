//! A real Prometheus scrapes real workers and their coordinator through a run; the figures add up
//! to what the store holds.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jhalak_common::process::exit;
use jhalak_tests::broker::Broker;
use jhalak_tests::cluster::{Cluster, Process, TIMEOUT};
use jhalak_tests::monitoring::{OF_OTHERS, dashboard, rules};
use jhalak_tests::prometheus::{Prometheus, http, promtool};
use jhalak_tests::s3_server;

/// Pictures of a trailer that an image model embeds.
const KEYFRAMES: f64 = 16.0;

/// Panels that a small run on a healthy cluster fills with nothing, and why.
const EMPTY: [(&str, &str); 1] = [(
    "Time left in the stage",
    "a rate over ten minutes and jobs that are left: both at once only in runs of minutes",
)];

/// The address that a process says it shows its metrics at.
pub fn address(process: &mut Process) -> String {
    process.wait_for_log("metrics at http://");
    let words = process.stderr();
    let rest = words.split("metrics at http://").nth(1).expect("it said so");
    rest.split('/').next().expect("an address").to_string()
}

const LISTEN: (&str, &str) = ("JHALAK__TELEMETRY__LISTEN", "127.0.0.1:0");

#[tokio::test(flavor = "multi_thread")]
async fn figures_of_a_run_add_up_to_what_the_store_holds() {
    let Some(server) = s3_server::from_environment() else { return };
    let cluster = Cluster::new("metrics", Broker::shared(), server).await;
    let prometheus = Prometheus::start();
    let mut workers = [cluster.worker_with(&[LISTEN]), cluster.worker_with(&[LISTEN])];
    // The final model and a checkpoint of every epoch, so that every panel of training has data.
    let every = ("JHALAK__WORKER__CHECKPOINT_MS", "0");
    let last = ("JHALAK__TELEMETRY__LAST_SCRAPE_MS", "60000");
    let mut submit = cluster.submit_with(&["-v"], &[LISTEN, every, last]);
    let mut addresses: Vec<String> = workers.iter_mut().map(address).collect();
    addresses.push(address(&mut submit));
    let (began, all) = (Instant::now(), addresses.clone());
    tokio::task::block_in_place(|| prometheus.scrape(&all));
    let of_coordinator = addresses.pop().expect("three");
    while http(&of_coordinator, "/readyz").map(|(status, _)| status) != Some(200) {
        assert!(submit.runs(), "a leading coordinator is ready: {}", submit.stderr());
        std::thread::sleep(Duration::from_millis(20));
    }
    let ended = submit.wait();
    assert_eq!(ended.code, Some(i32::from(exit::DONE)), "{}", ended.err);

    // Both workers' last figures are in: they are idle, and were scraped since.
    for (worker, address) in workers.iter_mut().zip(&addresses) {
        assert!(worker.runs(), "{}", worker.stderr());
        assert_eq!(http(address, "/livez").map(|(status, _)| status), Some(200));
        assert_eq!(http(address, "/readyz").map(|(status, _)| status), Some(200));
        let (_, text) = http(address, "/metrics").expect("it runs");
        let said = promtool(&["check", "metrics"], cluster.folder(), &text);
        assert_eq!(said.trim(), "", "promtool's advice");
        let idle = format!("jhalak_worker_idle_seconds{{instance=\"{address}\"}} > 1");
        tokio::task::block_in_place(|| prometheus.until_any(&idle));
    }
    let window = format!("{}s", began.elapsed().as_secs() + 60);
    // The coordinator is gone, and its last figures were scraped: the highest value of each series.
    let total = |selector: &str| prometheus.value(&format!("sum(max_over_time({selector}[{window}]))"));

    let artifacts = cluster.objects("artifacts/").await;
    let bytes: usize = artifacts.values().map(Vec::len).sum();
    let written = total("jhalak_store_bytes_total{direction=\"written\",area=\"artifacts\"}");
    assert_eq!(written, bytes as f64, "bytes under artifacts/");

    let commits = |kind: &str| {
        artifacts
            .keys()
            .filter(|key| key.starts_with(&format!("artifacts/{kind}/")) && key.ends_with("/commit.json"))
            .count()
    };
    let trailers = commits("keyframes") as f64;
    assert!(trailers > 0.0);
    let ends = |kind: &str, outcome: &str| {
        total(&format!("jhalak_worker_jobs_ended_total{{kind=~\"{kind}\",outcome=~\"{outcome}\"}}"))
    };
    // A job that was sent again as lost is found done.
    let end_states = "committed|quarantined|cancelled";
    assert_eq!(ends("extract", end_states), trailers, "one end for each trailer");
    assert_eq!(
        ends("train", end_states),
        (commits("cell") + commits("model")) as f64,
        "one end for each fold and the model"
    );
    for (stage, jobs) in [("extracting", trailers), ("training", (commits("cell") + commits("model")) as f64)] {
        let committed = total(&format!("jhalak_run_jobs{{stage=\"{stage}\",state=\"committed\"}}"));
        assert_eq!(committed, jobs, "{stage}");
    }
    assert_eq!(ends("extract|train", ".*"), total("jhalak_worker_jobs_started_total"), "every start has its end");
    let rows = total("jhalak_inference_rows_total{model=~\"efficientnet.*\"}");
    assert_eq!(rows, trailers * KEYFRAMES, "keyframes through the image model");
    let (steps, jobs) =
        (total("jhalak_worker_step_duration_seconds_sum"), total("jhalak_worker_job_duration_seconds_sum"));
    assert!(steps > 0.0 && steps <= jobs * 1.001, "steps take {steps} s of {jobs} s");
    assert_eq!(total("jhalak_decode_child_ends_total{reason=\"ok\"}"), trailers);
    assert_eq!(total("jhalak_worker_redeliveries_total"), 0.0);

    // Every panel shows something of this run.
    let mut empty: BTreeSet<&str> = BTreeSet::new();
    for panel in dashboard::rows().into_iter().flat_map(|row| row.panels) {
        for (expr, _) in &panel.queries {
            if OF_OTHERS.iter().any(|(name, _)| expr.contains(name)) {
                continue;
            }
            let expr = expr.replace("$namespace", ".*").replace("$run", ".*").replace("$__rate_interval", "5s");
            let seen = format!("count_over_time(({expr})[{window}:1s])");
            if prometheus.query(&seen).is_empty() {
                empty.insert(panel.title);
            }
        }
    }
    empty.retain(|title| !EMPTY.iter().any(|(excepted, _)| excepted == title));
    assert!(empty.is_empty(), "panels without data: {empty:?}");
    // Prometheus evaluates the rules on these series without an error, and a healthy run raises
    // none.
    for alert in rules::alerts() {
        prometheus.query(&alert.expr);
    }
    assert!(prometheus.query("ALERTS{alertname=~\"Jhalak.*\",alertstate=\"firing\"}").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_of_one_machine_start_and_a_chosen_port_that_is_taken_is_refused() {
    let Some(server) = s3_server::from_environment() else { return };
    let cluster = Cluster::new("ports", Broker::shared(), server).await;
    let mut first = cluster.worker_with(&[LISTEN]);
    let taken = address(&mut first);
    let mut refused = cluster.worker_with(&[("JHALAK__TELEMETRY__LISTEN", &taken)]);
    let ended = refused.wait();
    assert_eq!(ended.code, Some(i32::from(exit::INVALID)), "{}", ended.err);
    assert!(ended.err.contains("telemetry.listen") && ended.err.contains(&taken), "{}", ended.err);
    // Without a setting, as many as wanted.
    let mut more: Vec<Process> = (0..2).map(|_| cluster.start(default_worker(&cluster), "worker")).collect();
    let addresses: BTreeSet<String> = more.iter_mut().map(address).collect();
    assert_eq!(addresses.len(), 2);
    for address in &addresses {
        let began = Instant::now();
        while http(address, "/readyz").map(|(status, _)| status) != Some(200) {
            assert!(began.elapsed() < TIMEOUT, "{address} is not ready");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn default_worker(cluster: &Cluster) -> std::process::Command {
    let mut command = cluster.command("jhalak-worker");
    command.env_remove(LISTEN.0).args(["--slots", "1"]);
    command
}
