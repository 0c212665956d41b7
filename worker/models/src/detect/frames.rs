//! Detects objects in the frames of a video while it is decoded: detection runs on a thread of its
//! own.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use jhalak_common::{Error, Result};

use super::detector::ObjectDetector;
use jhalak_media::detector::Object;
use jhalak_media::error::MediaError;
use jhalak_media::frame_visitor::{FramePosition, FrameVisitor};
use jhalak_media::picture::Picture;

/// Maximum number of frames that wait for the detector.
const MAX_QUEUED: usize = 2;

/// The objects in one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameDetections {
    /// Number and time of the frame.
    pub place: FramePosition,
    /// Display width and height.
    pub size: (u32, u32),
    /// Its objects, by descending score.
    pub objects: Vec<Object>,
}

/// The objects in all frames.
#[derive(Debug, Default)]
pub struct Detections {
    /// The frames, in order.
    pub frames: Vec<FrameDetections>,
    /// Index and picture of the frame with the highest number of objects times number of classes;
    /// the first of equals.
    pub richest: Option<(usize, Picture)>,
}

/// Sends frames to the detector thread.
pub struct FrameSender {
    frames: SyncSender<(FramePosition, Picture)>,
}

/// The detector thread of a [`FrameSender`].
pub struct DetectionThread(JoinHandle<Result<Detections>>);

/// Starts a thread that detects objects in the frames sent to it, up to `batch` at once. Dropping
/// the sender ends the thread.
///
/// # Errors
/// Transient if the thread cannot be started.
pub fn spawn(detector: ObjectDetector, batch: usize) -> Result<(FrameSender, DetectionThread)> {
    let (frames, inbox) = sync_channel(MAX_QUEUED);
    let started =
        thread::Builder::new().name("detector".into()).spawn(move || detect_frames(detector, &inbox, batch.max(1)));
    let thread = started.map_err(|e| Error::from(e).context("cannot start the thread of a detector"))?;
    Ok((FrameSender { frames }, DetectionThread(thread)))
}

impl FrameVisitor for FrameSender {
    fn visit(&mut self, place: FramePosition, picture: Picture) -> Result<(), MediaError> {
        // A failed detector reports its error in `finish`.
        self.frames.send((place, picture)).map_err(|_| MediaError::Cancelled)
    }
}

impl DetectionThread {
    /// Returns the objects of all frames; call it after the sender is dropped.
    ///
    /// # Errors
    /// Errors of [`ObjectDetector::detect`].
    pub fn finish(self) -> Result<Detections> {
        self.0.join().map_err(|_| Error::bug("the detector panicked"))?
    }
}

fn detect_frames(
    mut detector: ObjectDetector,
    inbox: &Receiver<(FramePosition, Picture)>,
    batch: usize,
) -> Result<Detections> {
    let (mut seen, mut best) = (Detections::default(), 0);
    while let Ok(first) = inbox.recv() {
        let more = std::iter::from_fn(|| inbox.try_recv().ok()).take(batch - 1);
        let (places, mut pictures): (Vec<_>, Vec<_>) = std::iter::once(first).chain(more).unzip();
        let found = detector.detect(&pictures)?;
        let sizes: Vec<_> = pictures.iter().map(|picture| (picture.width, picture.height)).collect();
        for (n, (place, objects)) in places.into_iter().zip(found).enumerate() {
            let richness = 1 + objects.len() * classes(&objects);
            if richness > best {
                best = richness;
                seen.richest = Some((seen.frames.len(), std::mem::take(&mut pictures[n])));
            }
            seen.frames.push(FrameDetections { place, size: sizes[n], objects });
        }
    }
    Ok(seen)
}

fn classes(objects: &[Object]) -> usize {
    let mut all: Vec<u32> = objects.iter().map(|object| object.class).collect();
    all.sort_unstable();
    all.dedup();
    all.len()
}
