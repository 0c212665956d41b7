//! Decodes files to find out whether they open as videos.

use std::path::Path;

use jhalak_common::settings::Settings;
use jhalak_common::{ErrorKind, Result};
use jhalak_worker::media::{DecodeRequest, Outcome, SceneSettings};
use tokio_util::sync::CancellationToken;

use crate::commands::video_args;
use crate::plan::dataset_source::Source;

/// Takes, of several files of a movie, the first that opens.
///
/// # Errors
/// Those of [`opens`] that are not about the file.
pub(super) async fn take_those_that_open(
    source: &mut Source,
    stop: &CancellationToken,
    settings: &Settings,
) -> Result<()> {
    let opens = async |path: &Path| match opens(stop, path, settings).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(false),
        Err(error) => Err(error),
    };
    source.take_those_that_open(&settings.worker.scratch, opens).await
}

/// Decodes a video to its end. Returns what is damaged, if anything.
///
/// # Errors
/// Invalid input if the file does not open as a video.
pub(super) async fn opens(stop: &CancellationToken, video: &Path, settings: &Settings) -> Result<Option<String>> {
    let asked = SceneSettings::default();
    let ask = |request: &mut DecodeRequest| request.scenes = Some(asked);
    let decoded = video_args::decode_until(stop, video, settings, ask, video_args::Hook::None).await?;
    if let Outcome::Short { reason } = &decoded.report.outcome {
        return Ok(Some(format!("cut short: {reason}")));
    }
    let errors = decoded.report.errors;
    Ok((errors > 0).then(|| format!("damaged: the decoder rejected {errors} packets or frames")))
}
