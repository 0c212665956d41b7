//! The queue on a real, private RabbitMQ.
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jhalak_common::queue::conformance::{Bench, CHECKS, Opening, suite};
use jhalak_common::queue::rabbitmq::RabbitQueue;
use jhalak_common::queue::{self, Channel, Queue, WorkKind};
use jhalak_common::settings::QueueSettings;
use jhalak_common::{Error, ErrorKind};
use jhalak_tests::broker::Broker;
use jhalak_tests::certificates;
use tokio::time::timeout;

const WORK: Channel = Channel::Work(WorkKind::Extract);

/// Settings with names of their own, so that tests on one broker do not meet.
fn settings() -> QueueSettings {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let prefix = format!("test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::SeqCst));
    QueueSettings { retry_delays_ms: vec![200, 1_500], delivery_limit: 4, prefix, ..Default::default() }
}

async fn open(url: &str, settings: &QueueSettings) -> Arc<dyn Queue> {
    queue::open(url, settings).await.expect("the broker runs")
}

fn body(n: usize) -> Bytes {
    Bytes::from(n.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_passes_the_conformance_suite() {
    let (url, settings) = (Broker::shared().url(), settings());
    let chosen = settings.clone();
    let open = move || -> Opening {
        let (url, settings) = (url.clone(), chosen.clone());
        Box::pin(async move { queue::open(&url, &settings).await })
    };
    let kept = suite(&Bench { open: Box::new(open), settings }).await.expect("every promise is kept");
    assert_eq!(kept.len(), CHECKS.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queue_with_other_arguments_is_refused_with_advice() {
    let (url, first) = (Broker::shared().url(), settings());
    open(&url, &first).await.close().await;
    open(&url, &first).await.close().await;
    for (other, name) in [
        (QueueSettings { delivery_limit: 5, ..first.clone() }, "work.extract"),
        (QueueSettings { retry_delays_ms: vec![200, 3_000], ..first.clone() }, "retry.extract.1"),
    ] {
        let error = queue::open(&url, &other).await.expect_err("the queue has other arguments");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        let text = error.to_string();
        assert!(text.contains(&format!("{}.{name} ", first.prefix)) && text.contains("rabbitmq.prefix"), "{text}");
    }
}

#[tokio::test]
async fn broker_errors_have_a_kind_and_hide_the_password() {
    let url = Broker::shared().url();
    let settings = QueueSettings { connect_timeout_ms: 2_000, ..settings() };
    let password = url.split(&[':', '@'][..]).nth(2).expect("the URL holds a password").to_string();
    let refuses = |url: String| {
        let (settings, password) = (settings.clone(), password.clone());
        async move {
            let start = Instant::now();
            let error: Error = queue::open(&url, &settings).await.expect_err("this URL cannot work");
            assert!(start.elapsed() < Duration::from_secs(15), "it took {:?}", start.elapsed());
            let shown = format!("{error} {error:?} {}", error.chain());
            assert!(!shown.contains(&password) && !shown.contains("s3cret"), "the password is shown: {shown}");
            (error.kind(), shown)
        }
    };
    // A port that is bound but does not listen, and one that accepts and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = silent.local_addr().expect("it is bound").port();
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port is free").port();
    for port in [free, port] {
        let (kind, shown) = refuses(format!("amqp://user:s3cret@127.0.0.1:{port}/%2f")).await;
        assert_eq!(kind, ErrorKind::Transient, "{shown}");
        assert!(shown.contains(&format!("127.0.0.1:{port}")), "{shown}");
    }
    let (kind, shown) = refuses(url.replace(&password, "s3cret")).await;
    assert_eq!(kind, ErrorKind::Permission, "{shown}");
    let (kind, shown) = refuses(url.replace("%2f", "no-such-vhost")).await;
    assert_eq!(kind, ErrorKind::InvalidInput, "{shown}");
    assert!(shown.contains("no-such-vhost"), "{shown}");
    let (kind, shown) = refuses("amqp://user:s3cret@:port:/x".into()).await;
    assert_eq!(kind, ErrorKind::InvalidInput, "{shown}");
    // TLS spoken to a plain port.
    let (kind, shown) = refuses(url.replace("amqp://", "amqps://")).await;
    assert!(matches!(kind, ErrorKind::InvalidInput | ErrorKind::Transient), "{shown}");
    let (kind, _) = refuses("ftp://user:s3cret@127.0.0.1/".into()).await;
    assert_eq!(kind, ErrorKind::InvalidInput);
    let working = open(&url, &settings).await;
    assert!(!format!("{working:?} {}", working.url()).contains(&password));
}

/// The runtime of this test has one thread, and it computes for longer than the broker waits for a
/// heartbeat.
#[tokio::test]
async fn computing_does_not_starve_the_heartbeat() {
    let settings = QueueSettings { heartbeat_s: 1, ..settings() };
    let queue = open(&Broker::shared().url(), &settings).await;
    queue.publish(&WORK, body(1)).await.expect("published");
    let mut deliveries = queue.consume(&WORK, 1).await.expect("consumes");
    let delivery = deliveries.next().await.expect("delivers").expect("is open");
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(5) {
        std::hint::black_box((0..10_000_u64).sum::<u64>());
    }
    assert!(delivery.ack().await.expect("acknowledges"), "the connection was lost while this computed");
    queue.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_killed_in_mid_run_loses_nothing() {
    const MESSAGES: usize = 600;
    let broker = Arc::new(Broker::own());
    let settings = settings();
    let queue = open(&broker.url(), &settings).await;
    let mut deliveries = queue.consume(&WORK, 20).await.expect("consumes");
    let publishing = tokio::spawn({
        let queue = queue.clone();
        async move {
            for start in (0..MESSAGES).step_by(20) {
                let window = (start..start + 20).map(|n| queue.publish(&WORK, body(n)));
                for outcome in futures::future::join_all(window).await {
                    outcome.expect("publishing waits for the broker");
                }
            }
        }
    });
    let mut seen = BTreeMap::<Bytes, usize>::new();
    let (mut killing, mut late) = (None, 0);
    while seen.len() < MESSAGES {
        let next = timeout(Duration::from_secs(120), deliveries.next()).await;
        let delivery = next.unwrap_or_else(|_| panic!("only {} of {MESSAGES} messages arrived", seen.len()));
        let delivery = delivery.expect("delivers").expect("is open");
        *seen.entry(delivery.body.clone()).or_default() += 1;
        if seen.len() == 200 && killing.is_none() {
            broker.kill();
            let broker = broker.clone();
            killing = Some(tokio::task::spawn_blocking(move || broker.run("start")));
            // An acknowledgement that is sent before the loss is noticed counts as sent; this one
            // is to come too late.
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        late += usize::from(!delivery.ack().await.expect("acknowledges"));
    }
    publishing.await.expect("everything was published");
    killing.expect("the broker was killed").await.expect("and started again");
    assert!(late > 0, "no delivery was out when the broker was killed: the test shows nothing");
    let repeated: usize = seen.values().map(|times| times - 1).sum();
    println!("{MESSAGES} messages, {repeated} repeated, {late} acknowledged too late");
    queue.publish(&WORK, body(MESSAGES)).await.expect("goes on");
    queue.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishing_fails_while_the_broker_stays_unreachable() {
    let broker = Broker::own();
    let settings = QueueSettings { publish_timeout_ms: 1_500, ..settings() };
    let queue = RabbitQueue::open(&broker.url(), &settings).await.expect("the broker runs");
    broker.kill();
    let start = Instant::now();
    let error = queue.publish(&WORK, body(1)).await.expect_err("no consumer exists");
    assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
    assert!(start.elapsed() < Duration::from_secs(6), "it took {:?}", start.elapsed());
    let start = Instant::now();
    queue.close().await;
    assert!(start.elapsed() < Duration::from_secs(10), "closing took {:?}", start.elapsed());
}

/// An operator deletes a queue under a consumer and a publisher: it is declared again, and both
/// continue.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_queue_is_declared_again() {
    let (broker, settings) = (Broker::shared(), settings());
    let queue = open(&broker.url(), &settings).await;
    let mut deliveries = queue.consume(&WORK, 1).await.expect("consumes");
    broker.delete_queue(&format!("{}.work.extract", settings.prefix));
    broker.delete_queue(&format!("{}.quarantine", settings.prefix));
    // Nobody consumes quarantine: the publisher is the first to notice. It says so, for what was in
    // the queue is lost.
    let error = queue.publish(&Channel::Quarantine, body(1)).await.expect_err("the queue is gone");
    assert!(error.kind() == ErrorKind::Transient && error.to_string().contains(".quarantine"), "{error}");
    queue.publish(&Channel::Quarantine, body(2)).await.expect("it was declared again");
    queue.publish(&WORK, body(3)).await.expect("the consumer has declared it again");
    let delivery = timeout(Duration::from_secs(30), deliveries.next())
        .await
        .expect("goes on")
        .expect("delivers")
        .expect("is open");
    assert_eq!(delivery.body, body(3));
    assert!(delivery.ack().await.expect("acknowledges"));
    assert_eq!(queue.depth(&Channel::Quarantine).await.expect("counts"), 1);
    queue.close().await;
}

/// The coordinator of a run learns that what it had sent is gone, and takes nothing else for that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_broker_data_is_reported_once() {
    let (broker, settings) = (Broker::own(), settings());
    let queue = open(&broker.url(), &settings).await;
    let results = Channel::Results("films".into());
    let mut deliveries = queue.consume(&results, 1).await.expect("consumes");
    // Messages that are published before the consumer has declared its queue again are dropped.
    let mut next = async |n| {
        let publish = async {
            loop {
                queue.publish(&results, body(n)).await.expect("published");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let taking = async {
            loop {
                let next = timeout(Duration::from_secs(60), deliveries.next()).await.expect("goes on");
                let delivery = next.expect("delivers").expect("is open");
                let is_it = delivery.body == body(n);
                delivery.ack().await.expect("acknowledges");
                if is_it {
                    return deliveries.were_forgotten();
                }
            }
        };
        tokio::select! { forgotten = taking => forgotten, () = publish => false }
    };
    assert!(!next(1).await, "nothing was forgotten");
    tokio::task::block_in_place(|| broker.again(true));
    assert!(!next(2).await, "a broker that was killed remembers");
    broker.delete_queue(&format!("{}.results.films", settings.prefix));
    assert!(!next(3).await, "somebody deleted the queue, and the broker is well");
    tokio::task::block_in_place(|| broker.again_empty());
    assert!(next(4).await, "a broker without its data does not");
    assert!(!next(5).await, "it is reported once");
    queue.close().await;
}

/// `amqps` with a certificate authority that the system trusts, and with one that it does not.
#[test]
fn tls_connects_and_checks_certificates() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port is free").port();
    let mut authority = None;
    let broker = Broker::with(|folder| {
        let of = folder.display();
        authority = certificates::make(folder);
        if authority.is_none() {
            return String::new();
        }
        format!(
            "listeners.ssl.local = 127.0.0.1:{port}\nssl_options.cacertfile = {of}/ca.pem\nssl_options.certfile = {of}/cert.pem\nssl_options.keyfile = {of}/key.pem\n"
        )
    });
    let Some(authority) = authority else { return };
    let url = broker.url().replace("amqp://", "amqps://");
    let (credentials, _) = url.rsplit_once('@').expect("the URL holds credentials");
    let own = QueueSettings { ca_file: Some(authority.clone()), ..settings() };
    let address = format!("{credentials}@127.0.0.1:{port}/%2f");
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    runtime.block_on(async {
        let queue = queue::open(&address, &own).await.expect("the setting names the authority");
        queue.publish(&WORK, body(1)).await.expect("published");
        queue.close().await;
    });
    // The trust store is read from the environment, which a process must not change while its
    // threads run: a child does it.
    for (trusted, outcome) in [(true, "works"), (false, "InvalidInput")] {
        let mut child = Command::new(std::env::current_exe().expect("this test runs"));
        child.args(["--exact", "rabbitmq::tls_child", "--ignored", "--nocapture"]).env("JHALAK_TEST_URL", &address);
        if trusted {
            child.env("SSL_CERT_FILE", &authority);
        }
        let output = child.output().expect("this test can be run");
        let shown = String::from_utf8_lossy(&output.stdout);
        assert!(
            shown.contains(&format!("tls: {outcome}")),
            "trusted: {trusted}: {shown} {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[tokio::test]
#[ignore = "the child of tls_connects_and_checks_certificates"]
async fn tls_child() {
    let Ok(url) = std::env::var("JHALAK_TEST_URL") else { return };
    match queue::open(&url, &settings()).await {
        Ok(queue) => {
            queue.publish(&WORK, body(1)).await.expect("published");
            println!("tls: works");
            queue.close().await;
        }
        Err(error) => println!("tls: {:?} {error}", error.kind()),
    }
}

/// Prints rates; run by hand: `cargo test --release --test queue -- --ignored --nocapture rates`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn rates() {
    const MESSAGES: usize = 20_000;
    let queue = open(&Broker::shared().url(), &settings()).await;
    let start = Instant::now();
    for window in (0..MESSAGES).collect::<Vec<_>>().chunks(1_000) {
        futures::future::try_join_all(
            window.iter().map(|&n| queue.publish(&WORK, Bytes::from(vec![b'x'; 400 + n % 2]))),
        )
        .await
        .expect("published");
    }
    println!("{:.0} confirmed publishes a second, windows of 1,000", MESSAGES as f64 / start.elapsed().as_secs_f64());
    for prefetch in [1, 16, 200] {
        let part = if prefetch == 1 { 1_000 } else { MESSAGES / 3 };
        let mut deliveries = queue.consume(&WORK, prefetch).await.expect("consumes");
        let start = Instant::now();
        for _ in 0..part {
            let delivery = deliveries.next().await.expect("delivers").expect("is open");
            assert!(delivery.ack().await.expect("acknowledges"));
        }
        println!(
            "{:.0} consumes a second, one ack each, prefetch {prefetch}",
            part as f64 / start.elapsed().as_secs_f64()
        );
        let start = Instant::now();
        drop(deliveries);
        println!("  ended in {:?}", start.elapsed());
    }
    let start = Instant::now();
    for n in 0..200 {
        queue.publish(&WORK, body(n)).await.expect("published");
    }
    println!("{:.2} ms for one publish alone", start.elapsed().as_secs_f64() * 1000.0 / 200.0);
    queue.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_was_changed_in_its_file_is_used_at_the_next_connection() {
    let broker = Broker::shared();
    let (first, second) = (format!("first-{}", std::process::id()), format!("second-{}", std::process::id()));
    let (old, new) = (broker.add_user(&first, "one"), broker.add_user(&second, "two"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("queue-url");
    std::fs::write(&file, &old).expect("room on disk");
    let settings = QueueSettings { url_file: Some(file.clone()), ..settings() };
    let queue = open(&old, &settings).await;
    queue.publish(&WORK, body(1)).await.expect("the first login works");
    std::fs::write(&file, &new).expect("room on disk");
    broker.delete_user(&first);
    let sent = timeout(Duration::from_secs(60), async {
        loop {
            // Until the loss of the connection is noticed, and while it is made again.
            if queue.publish(&WORK, body(2)).await.is_ok() && queue.is_connected() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    sent.await.expect("the second login is used");
    let refused = queue::open(&old, &QueueSettings { url_file: None, ..settings.clone() }).await;
    assert_eq!(refused.expect_err("its user is gone").kind(), ErrorKind::Permission);
    queue.close().await;
    broker.delete_user(&second);
}
