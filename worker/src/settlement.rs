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

/// How a delivery was settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    /// As intended.
    As(Settlement),
    /// Acknowledged too late: it comes again.
    Late,
    /// It cannot be known: it comes again.
    Unknown,
}

impl Settled {
    /// Returns what copies of the delivery are settled as, if that is known.
    pub(crate) fn of_copies(self) -> Option<Settlement> {
        match self {
            Settled::As(settlement) => Some(settlement),
            Settled::Late => Some(Settlement::Acknowledge),
            Settled::Unknown => None,
        }
    }
}

/// Settles `delivery`. A delivery that cannot be settled comes again.
pub(crate) async fn settle_as(delivery: Delivery, processed: Result<Settlement>) -> Settled {
    let settled = match processed {
        Ok(Settlement::Acknowledge) => {
            fault_point::reach("before-ack");
            match delivery.ack().await {
                Ok(false) => {
                    tracing::debug!("acknowledged too late: the job comes again and will be found committed");
                    Ok(Settled::Late)
                }
                other => other.map(|_| Settled::As(Settlement::Acknowledge)),
            }
        }
        Ok(Settlement::HandBack) => delivery.requeue().await.map(|()| Settled::As(Settlement::HandBack)),
        // Uncounted: the store or the broker is unreachable or refuses, and the job is not the
        // cause.
        Err(error) if !error.kind().is_permanent() => {
            tracing::warn!(error = %error.chain(), "cannot settle the delivery now: handing it back");
            tokio::time::sleep(RETRY_PAUSE).await;
            delivery.requeue().await.map(|()| Settled::As(Settlement::HandBack))
        }
        // Dropped without acknowledgement: comes again, counted.
        Err(error) => Err(error),
    };
    match settled {
        Ok(settled) => settled,
        Err(error) => {
            tracing::warn!(error = %error.chain(), "cannot settle the delivery: it will come again");
            tokio::time::sleep(RETRY_PAUSE).await;
            Settled::Unknown
        }
    }
}
