//! Objects in the frames of a video as they come out of its decoder: decoding and detection go on side by side.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use jhalak_common::{Error, Result};

use super::ObjectDetector;
use jhalak_media::detector::Object;
use jhalak_media::error::MediaError;
use jhalak_media::frame_visitor::{FramePosition, FrameVisitor};
use jhalak_media::picture::Picture;

/// Frames that wait for the detector at most.
const WAITING: usize = 2;

/// A frame and what is in it.
#[derive(Debug, Clone, PartialEq)]
pub struct SeenFrame {
    /// Which one it is.
    pub place: FramePosition,
    /// Its width and height as shown.
    pub size: (u32, u32),
    /// Its objects, from the highest score down.
    pub objects: Vec<Object>,
}

/// All that was seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// The frames, in their order.
    pub frames: Vec<SeenFrame>,
    /// Of those, the one with the highest number of objects times number of classes, and of equals the first, with its picture.
    pub richest: Option<(usize, Picture)>,
}

/// Gives frames to a detector on another thread.
pub struct Watcher {
    frames: SyncSender<(FramePosition, Picture)>,
}

/// The detector's side of a [`Watcher`].
pub struct Watching(JoinHandle<Result<Seen>>);

/// Starts a thread that detects objects in the frames that the viewer is shown, up to `batch` at once. The viewer's end ends it.
///
/// # Errors
/// Transient where no thread can be had.
pub fn watch(detector: ObjectDetector, batch: usize) -> Result<(Watcher, Watching)> {
    let (frames, inbox) = sync_channel(WAITING);
    let started = thread::Builder::new().name("detector".into()).spawn(move || look(detector, &inbox, batch.max(1)));
    let looking = started.map_err(|e| Error::from(e).context("the thread of a detector"))?;
    Ok((Watcher { frames }, Watching(looking)))
}

impl FrameVisitor for Watcher {
    fn visit(&mut self, place: FramePosition, picture: Picture) -> Result<(), MediaError> {
        // A detector that has given up says why in its own answer.
        self.frames.send((place, picture)).map_err(|_| MediaError::Cancelled)
    }
}

impl Watching {
    /// What was seen, once the viewer is gone.
    ///
    /// # Errors
    /// Those of [`ObjectDetector::detect`].
    pub fn finish(self) -> Result<Seen> {
        self.0.join().map_err(|_| Error::bug("the detector panicked"))?
    }
}

fn look(mut detector: ObjectDetector, inbox: &Receiver<(FramePosition, Picture)>, batch: usize) -> Result<Seen> {
    let (mut seen, mut best) = (Seen::default(), 0);
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
            seen.frames.push(SeenFrame { place, size: sizes[n], objects });
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
