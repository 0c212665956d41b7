//! How deliveries are settled: acknowledged, or handed back to the queue uncounted.

use std::time::Duration;

use jhalak_common::Result;
use jhalak_common::process::fault_point;
use jhalak_common::queue::Delivery;

/// How long a worker waits before it hands back a delivery that the store or the broker did not let
/// it settle.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// How a delivery is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settlement {
    /// Acknowledge: the job has its end state, or waits in a retry tier.
    Acknowledge,
    /// Return to the queue unchanged and uncounted.
    HandBack,
}

/// Settles `delivery`; returns how, or None when that is unknown. A delivery that cannot be settled
/// comes again.
pub(crate) async fn settle_as(delivery: Delivery, processed: Result<Settlement>) -> Option<Settlement> {
    let settled = match processed {
        Ok(Settlement::Acknowledge) => {
            fault_point::reach("before-ack");
            match delivery.ack().await {
                Ok(false) => {
                    tracing::debug!("acknowledged too late: the job comes again and will be found committed");
                    Ok(Settlement::Acknowledge)
                }
                other => other.map(|_| Settlement::Acknowledge),
            }
        }
        Ok(Settlement::HandBack) => delivery.requeue().await.map(|()| Settlement::HandBack),
        // Uncounted: the store or the broker is unreachable or refuses, and the job is not the cause.
        Err(error) if !error.kind().is_permanent() => {
            tracing::warn!(error = %error.chain(), "cannot settle the delivery now: handing it back");
            tokio::time::sleep(RETRY_PAUSE).await;
            delivery.requeue().await.map(|()| Settlement::HandBack)
        }
        // Dropped without acknowledgement: comes again, counted.
        Err(error) => Err(error),
    };
    match settled {
        Ok(settlement) => Some(settlement),
        Err(error) => {
            tracing::warn!(error = %error.chain(), "cannot settle the delivery: it will come again");
            tokio::time::sleep(RETRY_PAUSE).await;
            None
        }
    }
}
