//! A run of 100,000 stand-in trailers.

use std::time::{Duration, Instant};

use super::fixture::{RUN, Served};

/// Trailers of the run.
const TRAILERS: usize = 100_000;

/// A page takes less than this. One page is measured at some 10 ms on an idle machine; the tests of
/// several crates may run at once.
const LIMIT: Duration = Duration::from_millis(100);

#[tokio::test]
async fn pages_of_a_hundred_thousand_trailers_are_fast() {
    let served = Served::new(TRAILERS, None).await;
    let first = loop {
        let answer = served.get(&format!("/api/v1/runs/{RUN}/trailers")).await;
        if answer.status != 503 {
            break answer.json();
        }
        assert!(answer.text().contains("are being read"), "{}", answer.text());
    };
    assert_eq!((&first["all"], &first["pages"]), (&TRAILERS.into(), &2_084.into()));
    for options in ["", "page=2084", "q=number+9999", "genre=War&state=open", "label=unrated&page=1000", "q=m77777"] {
        let path = format!("/runs/{RUN}/trailers?{options}");
        let mut times = Vec::new();
        for _ in 0..5 {
            let began = Instant::now();
            let page = served.get(&path).await;
            times.push(began.elapsed());
            assert!(page.status == 200 && page.body.len() < 200_000, "{options}: {}", page.body.len());
        }
        times.sort();
        println!("{options:30} {:?}", times);
        assert!(times[0] < LIMIT, "{options}: {times:?}");
    }
}
