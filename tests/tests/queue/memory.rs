//! The in-process queue keeps the promises of every queue.
use std::sync::Arc;

use jhalak_common::queue::Queue;
use jhalak_common::queue::conformance::{Bench, CHECKS, Opening, suite};
use jhalak_common::queue::memory::MemoryQueue;
use jhalak_common::settings::QueueSettings;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_queue_passes_the_conformance_suite() {
    let settings = QueueSettings { retry_delays_ms: vec![200, 1_500], delivery_limit: 4, ..Default::default() };
    let first = MemoryQueue::new(&settings);
    let open = move || -> Opening {
        let queue: Arc<dyn Queue> = Arc::new(first.another());
        Box::pin(async move { Ok(queue) })
    };
    let kept = suite(&Bench { open: Box::new(open), settings }).await.expect("every promise is kept");
    assert_eq!(kept.len(), CHECKS.len());
}
