//! `jhalak submit`: plans a run and sends its jobs to workers elsewhere.

use clap::Args;
use jhalak_common::settings::Settings;
use jhalak_common::{Error, Result, queue, shutdown, store};

use super::{DatasetArgs, Output};
use crate::drive::Coordinator;
use crate::{conclude, plan, source};

/// Plans a run over a dataset and sends its jobs to the workers on the queue; stays until the report is written. What is committed already
/// is not done again, and the same dataset with the same settings is the same run, whoever submits it.
#[derive(Args)]
pub struct Submit {
    #[command(flatten)]
    dataset: DatasetArgs,
}

impl Submit {
    pub(super) async fn execute(self, settings: Settings, output: Output) -> Result<u8> {
        if settings.queue == "memory:" {
            return Err(Error::invalid(
                "submit needs a broker that workers share: set queue (JHALAK__QUEUE) to amqp://..., or use `jhalak run`, which needs none",
            ));
        }
        let stop = shutdown::on_signal()?;
        let source = source::read(&self.dataset.dataset, self.dataset.movies.as_deref(), &settings).await?;
        super::dataset::tell_rejects(&source.reading, &output);
        let store = store::open(&settings.store, &settings.s3).await?;
        let queue = queue::open(&settings.queue, &settings.rabbitmq).await?;
        let plan = plan::freeze(store.as_ref(), &source, &settings, true).await?;
        output.progress.say(&format!("run {} in {}", plan.spec.id, store.url()));
        let coordinator = Coordinator { store, queue: queue.clone(), progress: output.progress.clone(), stop };
        let driven = coordinator.drive(&plan).await;
        queue.close().await;
        let summary = driven?;
        conclude::conclude(&coordinator, &plan, &source.reading, &summary, &settings, &output).await
    }
}
