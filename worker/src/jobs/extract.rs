//! The extraction job: decodes one trailer once and commits each of its missing artifacts.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use jhalak_common::artifact::embedding_file;
use jhalak_common::artifact::recipes::{
    AudioEmbeddingParams, KeyframesParams, ObjectsParams, SceneParams, VideoEmbeddingParams, has_sound_parts,
};
use jhalak_common::artifact::{self, ArtifactKey, ArtifactKind, Body, Commit, CommitRecord, Recipe, Subject};
use jhalak_common::hash;
use jhalak_common::models::{COCO, Model, Role};
use jhalak_common::process::fault_point;
use jhalak_common::run::job::{ExtractTask, Trailer};
use jhalak_common::settings::{DecodeSettings, KeyframePosition, Strategy};
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, Result};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::progress::JobProgress;
use crate::blocking;
use crate::scratch::{JobFolder, OUTPUT_MB};
use jhalak_media::keyframes::archive::FILE_NAME as KEYFRAMES_FILE;
use jhalak_media::scenes::list;
use jhalak_media::{
    AudioSettings, AudioTrack, DecodeLimits, DecodeReport, DecodeRequest, KeyframeSet, KeyframeSettings, Position,
    SceneMiddleSettings, SceneObjectSettings, SceneReport, SceneSettings,
};
use jhalak_models::detect::{ObjectDetector, Thresholds};
use jhalak_models::embed::{audio, video};
use jhalak_models::inference::Models;

/// The file name of [`ArtifactKind::Objects`] artifacts.
const OBJECTS_FILE: &str = "objects.json";

/// Makes and commits the task's missing artifacts.
pub(super) async fn run(
    context: &Arc<Context>,
    task: &ExtractTask,
    progress: &JobProgress,
    stop: CancellationToken,
) -> Result<usize> {
    progress.begin("look");
    let mut missing = Vec::new();
    for recipe in &task.wanted {
        if artifact::committed(context.store.as_ref(), &ArtifactKey::new(recipe, &task.trailer.subject))
            .await?
            .is_none()
        {
            missing.push(recipe);
        }
    }
    progress.begin("wait");
    let decodes = missing.iter().any(|recipe| recipe.kind != ArtifactKind::VideoEmbedding);
    let folder = tokio::select! {
        folder = context.scratch.job_folder(if decodes { task.trailer.size } else { 0 }) => folder?,
        () = stop.cancelled() => return Err(Error::cancelled("the worker is stopping")),
    };
    let mut extraction = Extraction { context, task, folder, decoded: None, progress, committed: 0 };
    if decodes {
        extraction.decode(&missing, &stop).await?;
    }
    for recipe in missing {
        if stop.is_cancelled() {
            return Err(Error::cancelled("the worker is stopping"));
        }
        extraction.make(recipe).await?;
    }
    Ok(extraction.committed)
}

/// The work of one job on one trailer.
struct Extraction<'a> {
    context: &'a Arc<Context>,
    task: &'a ExtractTask,
    folder: JobFolder,
    decoded: Option<DecodeReport>,
    progress: &'a JobProgress,
    /// Artifacts that this job committed.
    committed: usize,
}

impl Extraction<'_> {
    fn subject(&self) -> &Subject {
        &self.task.trailer.subject
    }

    fn store(&self) -> &dyn ObjectStore {
        self.context.store.as_ref()
    }

    /// Downloads the trailer and decodes it once for all missing artifacts.
    async fn decode(&mut self, missing: &[&Recipe], stop: &CancellationToken) -> Result<()> {
        self.progress.begin("fetch");
        let fetching = fetch(self.context, &self.task.trailer, self.folder.path());
        let file = tokio::select! {
            file = fetching => file?,
            () = stop.cancelled() => return Err(Error::cancelled("the worker is stopping")),
        };
        self.progress.begin("decode");
        fault_point::reach("after-download");
        let mut request = DecodeRequest::new(&self.subject().id, file, self.folder.path());
        let mut detector = None;
        for recipe in missing {
            match recipe.kind {
                ArtifactKind::Keyframes | ArtifactKind::Objects => {
                    let params: KeyframesParams = recipe.parse()?;
                    request_keyframes(&mut request, &params);
                    if params.objects.is_some() && detector.is_none() {
                        detector = Some(self.detector(recipe, params).await?);
                    }
                }
                ArtifactKind::Scenes => request.scenes = Some(scene_settings(&recipe.parse()?)),
                ArtifactKind::AudioEmbedding => {
                    let params = AudioEmbeddingParams::of_recipe(recipe)?;
                    request.audio = Some(AudioSettings { sample_rate: params.sample_rate_hz() });
                }
                _ => {}
            }
        }
        let limits = decode_limits(&self.context.settings.decode);
        let program = &self.context.program;
        let decoded = match detector {
            Some(detector) => {
                jhalak_media::sandbox::decode_with_detector(program, &request, &limits, stop, Box::new(detector)).await
            }
            None => jhalak_media::sandbox::decode(program, &request, &limits, stop).await,
        };
        self.decoded = Some(decoded.map_err(|e| self.context.scratch.explain_full(e.into(), OUTPUT_MB << 20))?);
        fault_point::reach("after-decode");
        Ok(())
    }

    async fn make(&mut self, recipe: &Recipe) -> Result<()> {
        self.progress.begin(recipe.kind.name());
        let (files, facts) = match recipe.kind {
            ArtifactKind::Keyframes => self.keyframes(&recipe.parse()?)?,
            ArtifactKind::Scenes => self.scenes()?,
            ArtifactKind::Objects => self.objects()?,
            ArtifactKind::VideoEmbedding => self.video_embedding(recipe).await?,
            ArtifactKind::AudioEmbedding => self.audio_embedding(recipe).await?,
            other => return Err(Error::invalid(format!("an extraction job cannot make {} artifacts", other.name()))),
        };
        self.progress.begin("commit");
        if matches!(recipe.kind, ArtifactKind::VideoEmbedding | ArtifactKind::AudioEmbedding) {
            fault_point::reach("after-embedding");
        }
        match artifact::commit(self.store(), recipe, self.subject(), files, facts).await? {
            Commit::Committed => self.committed += 1,
            Commit::LostRace => {
                tracing::info!(artifact = recipe.kind.name(), "another worker committed the artifact first")
            }
        }
        fault_point::reach("after-commit");
        Ok(())
    }

    fn report(&self) -> Result<&DecodeReport> {
        self.decoded.as_ref().ok_or_else(|| Error::bug("the trailer was not decoded"))
    }

    /// Opens the detector that a recipe of scene-object keyframes names.
    async fn detector(&self, recipe: &Recipe, params: KeyframesParams) -> Result<ObjectDetector> {
        let context = self.context.clone();
        let sha256 = *recipe
            .models
            .first()
            .ok_or_else(|| Error::invalid("the recipe of scene-object keyframes names no detector"))?;
        blocking::compute(move || {
            let models = loaded(&context)?;
            let objects = params.objects.ok_or_else(|| Error::bug("keyframes without objects need no detector"))?;
            let model = models.by_checksum(&sha256, &[Role::Detector], |m| objects.fits(m, models.inference()))?;
            let detector = ObjectDetector::open(models, model).map_err(Error::of_machine)?;
            // The file may name other classes than its entry lets one expect.
            detector.check_for_scenes().map_err(Error::of_machine)?;
            // Objects below the thresholds do not count: the detector need not report them.
            Ok(detector.with(Thresholds { score: objects.confidence, overlap: objects.detector.nms }))
        })
        .await
    }

    fn keyframes(&self, params: &KeyframesParams) -> Result<(Vec<(&'static str, Body)>, Value)> {
        let report = self.report()?;
        let file = vec![(KEYFRAMES_FILE, Body::File(fresh_keyframes(report, params.strategy)?))];
        let (video, outcome) = (&report.video, &report.outcome);
        let facts = match set_of(report, params.strategy) {
            None => json!({ "video": video, "outcome": outcome, "keyframes": report.keyframes }),
            Some(set) => json!({
                "video": video, "outcome": outcome, "keyframes": set.keyframes, "wanted": set.wanted, "shortfall": set.shortfall,
                "padding": set.padding,
            }),
        };
        Ok((file, facts))
    }

    fn scenes(&self) -> Result<(Vec<(&'static str, Body)>, Value)> {
        let missing = || Error::bug("the decode listed no scenes");
        let SceneReport { csv, json, scenes } = self.report()?.scenes.as_ref().ok_or_else(missing)?;
        let files = vec![(list::CSV_NAME, Body::File(csv.clone())), (list::JSON_NAME, Body::File(json.clone()))];
        Ok((files, json!({ "scenes": scenes })))
    }

    /// The detector's findings: the histogram over COCO's classes, and the objects of each
    /// keyframe.
    fn objects(&self) -> Result<(Vec<(&'static str, Body)>, Value)> {
        let missing = || Error::bug("the decode counted no objects");
        let set = self.report()?.scene_object.as_ref().ok_or_else(missing)?;
        let histogram = set.histogram.as_ref().ok_or_else(missing)?;
        let seen = json!({
            "version": 1, "classes": COCO.as_slice(), "histogram": histogram, "keyframes": set.keyframes, "shortfall": set.shortfall,
        });
        let bytes = serde_json::to_vec(&seen).map_err(|e| Error::bug("objects.json").with_source(e))?;
        let facts = json!({ "objects": histogram.iter().sum::<u64>(), "keyframes": set.keyframes.len() });
        Ok((vec![(OBJECTS_FILE, Body::Bytes(bytes.into()))], facts))
    }

    async fn video_embedding(&self, recipe: &Recipe) -> Result<(Vec<(&'static str, Body)>, Value)> {
        let params: VideoEmbeddingParams = recipe.parse()?;
        let keyframes = self.upstream_keyframes(recipe).await?;
        let context = self.context.clone();
        let sha256 =
            *recipe.models.first().ok_or_else(|| Error::invalid("the recipe of a video embedding names no model"))?;
        let embedded = blocking::compute(move || {
            let models = loaded(&context)?;
            let fits = |m: &Model| VideoEmbeddingParams::of(m, models.inference()).is_ok_and(|p| p == params);
            let model = models.by_checksum(&sha256, &Role::VIDEO, fits)?;
            video::embed(&keyframes, model, models.session(model).map_err(Error::of_machine)?.as_ref())
        })
        .await?;
        let mut facts = json!({ "dim": embedded.mean.len(), "frames": embedded.seen });
        if embedded.seen == 0 {
            facts["zero_clip"] =
                "no keyframe was chosen: the vector is that of a clip of zeros, as in the paper".into();
        }
        let bytes = embedding_file::encode(
            &embedded.mean,
            embedded.frames.as_deref(),
            &embedding_file::about(recipe, self.subject()),
        )?;
        Ok((vec![(embedding_file::FILE, Body::Bytes(bytes))], facts))
    }

    /// Returns the archive of the keyframes: decoded in this job, or committed earlier.
    async fn upstream_keyframes(&self, recipe: &Recipe) -> Result<Bytes> {
        let hash = *recipe
            .upstream
            .first()
            .ok_or_else(|| Error::invalid("the recipe of a video embedding names no keyframes"))?;
        let made_here = self.task.wanted.iter().find(|r| r.kind == ArtifactKind::Keyframes && r.hash() == hash);
        if let (Some(report), Some(keyframes)) = (&self.decoded, made_here) {
            let KeyframesParams { strategy, .. } = keyframes.parse()?;
            // A strategy that was committed earlier was not decoded again.
            if let Ok(fresh) = fresh_keyframes(report, strategy) {
                return Ok(tokio::fs::read(fresh).await?.into());
            }
        }
        let key = ArtifactKey { kind: ArtifactKind::Keyframes, recipe: hash, subject: self.subject().clone() };
        let record: CommitRecord = artifact::committed(self.store(), &key).await?.ok_or_else(|| {
            Error::invalid(format!(
                "the keyframes {} are neither committed nor part of the job: submit the run again",
                key.folder()
            ))
        })?;
        artifact::read_file(self.store(), &record, KEYFRAMES_FILE).await
    }

    async fn audio_embedding(&self, recipe: &Recipe) -> Result<(Vec<(&'static str, Body)>, Value)> {
        let params = AudioEmbeddingParams::of_recipe(recipe)?;
        let (file, choice) = match &self.report()?.audio {
            Some(AudioTrack::Present { file, choice, .. }) => (file.clone(), *choice),
            Some(AudioTrack::None { reason }) => {
                return Ok((Vec::new(), json!({ "dim": 0, "windows": 0, "without": reason })));
            }
            None => return Err(Error::bug("the audio was not decoded")),
        };
        let context = self.context.clone();
        let wanted = recipe.models.clone();
        let samples = file.clone();
        let peaks = blocking::compute(move || peaks(&samples)).await?;
        let embedded = blocking::compute(move || {
            let models = loaded(&context)?;
            let fits = |m: &Model| {
                AudioEmbeddingParams::of(m, models.registry(), models.inference()).is_ok_and(|(found, used)| {
                    found == params && used.iter().map(|m| m.sha256).collect::<Vec<_>>() == wanted
                })
            };
            // Recipes of windows name the features model first, then the embedding model.
            let index = if matches!(params, AudioEmbeddingParams::Windows { .. }) { 1 } else { 0 };
            let sha256 =
                wanted.get(index).ok_or_else(|| Error::invalid("the recipe of an audio embedding names no model"))?;
            let model = models.by_checksum(sha256, &Role::AUDIO, fits)?;
            for model in AudioEmbeddingParams::of(model, models.registry(), models.inference())?.1 {
                models.session(model).map_err(Error::of_machine)?;
            }
            audio::embed(BufReader::new(File::open(file)?), model, models)
        })
        .await?;
        match embedded {
            Some(sound) => {
                let mut facts = json!({ "dim": sound.mean.len(), "windows": sound.windows, "peaks": peaks });
                if let Some(choice) = choice {
                    facts["track"] = json!(choice);
                }
                let about = embedding_file::about(recipe, self.subject());
                let parts = has_sound_parts(recipe).then_some(sound.parts.as_slice());
                let bytes = embedding_file::encode(&sound.mean, parts, &about)?;
                Ok((vec![(embedding_file::FILE, Body::Bytes(bytes))], facts))
            }
            None => Ok((Vec::new(), json!({ "dim": 0, "windows": 0, "without": "the audio stream holds no sample" }))),
        }
    }
}

/// Returns the loudest sample of up to 240 equal stretches of the sound, from 0 to 255, for people.
/// The file holds signed 16-bit little-endian samples and is read in bounded memory.
fn peaks(samples: &Path) -> Result<Vec<u8>> {
    const STRETCHES: u64 = 240;
    let count = std::fs::metadata(samples)?.len() / 2;
    let stretches = count.min(STRETCHES);
    let mut file = BufReader::new(File::open(samples)?);
    let mut peaks = Vec::new();
    for stretch in 0..stretches {
        let mut peak = 0;
        for _ in stretch * count / stretches..(stretch + 1) * count / stretches {
            let mut sample = [0; 2];
            file.read_exact(&mut sample)?;
            peak = peak.max(i16::from_le_bytes(sample).unsigned_abs());
        }
        // The loudest negative sample is one above the loudest positive one.
        peaks.push((peak.min(32_767) >> 7) as u8);
    }
    Ok(peaks)
}

/// Returns the archive of the keyframes that the decode chose by `strategy`.
fn fresh_keyframes(report: &DecodeReport, strategy: Strategy) -> Result<PathBuf> {
    let tar = match strategy {
        Strategy::EqualInterval => report.keyframes_tar.clone(),
        Strategy::SceneMiddle | Strategy::SceneObject => set_of(report, strategy).map(|set| set.tar.clone()),
    };
    tar.ok_or_else(|| Error::bug(format!("the decode chose no {} keyframes", strategy.name())))
}

/// Returns the report on the keyframes that the decode chose by scenes; None for equal intervals.
fn set_of(report: &DecodeReport, strategy: Strategy) -> Option<&KeyframeSet> {
    match strategy {
        Strategy::EqualInterval => None,
        Strategy::SceneMiddle => report.scene_middle.as_ref(),
        Strategy::SceneObject => report.scene_object.as_ref(),
    }
}

fn loaded(context: &Context) -> Result<&Models> {
    context.models.as_ref().ok_or_else(|| Error::unable("this worker was started without models"))
}

/// Downloads the trailer to the job's folder and checks that it is the file that was planned.
async fn fetch(context: &Context, trailer: &Trailer, folder: &Path) -> Result<PathBuf> {
    trailer.check_tag()?;
    let source = context.source(&trailer.store).await?;
    let extension = Path::new(&trailer.key)
        .extension()
        .and_then(|e| e.to_str())
        .filter(|e| e.chars().all(|c| c.is_ascii_alphanumeric()));
    let file = folder.join(format!("trailer.{}", extension.unwrap_or("bin")));
    let fetched = source
        .download(&trailer.key, &file, trailer.tag.as_deref())
        .await
        // Reading fills no store: it is the scratch folder that is full.
        .map_err(|e| context.scratch.explain_full(e, trailer.size))
        .map_err(|e| e.context(format!("the trailer {} of {}", trailer.key, trailer.store)))?;
    if trailer.tag.is_some() && fetched.size != trailer.size {
        return Err(Error::invalid(format!(
            "the trailer {} has {} bytes, and {} were planned: is the list of objects wrong? Submit the run again with \
             another list",
            trailer.key, fetched.size, trailer.size
        )));
    }
    if trailer.tag.is_some() {
        return Ok(file);
    }
    let (found, size) = hash::of_file(file.clone()).await?;
    if found != trailer.subject.content {
        return Err(Error::invalid(format!(
            "the trailer {} is not the file that was planned: its SHA-256 is {found}, not {} ({size} bytes now, {} then). If \
             it was replaced, submit the run again; if the catalogue states its SHA-256, correct it",
            trailer.key, trailer.subject.content, trailer.size
        )));
    }
    if size != trailer.size {
        return Err(Error::invalid(format!(
            "the trailer {} has {size} bytes and the planned SHA-256, and {} bytes were planned: correct the size in the list \
             of objects, and submit the run again",
            trailer.key, trailer.size
        )));
    }
    Ok(file)
}

/// Adds the keyframes that `params` describe to the request.
fn request_keyframes(request: &mut DecodeRequest, params: &KeyframesParams) {
    let (count, jpeg_quality) = (params.count, params.jpeg_quality);
    let scenes = params.scenes.as_ref().map_or_else(SceneSettings::default, scene_settings);
    match (params.strategy, &params.objects) {
        (Strategy::EqualInterval, _) => {
            let position = match params.position {
                Some(KeyframePosition::Middle) => Position::Middle,
                Some(KeyframePosition::Start) | None => Position::Start,
            };
            request.keyframes = Some(KeyframeSettings { count, position, jpeg_quality });
        }
        (Strategy::SceneObject, Some(objects)) => {
            let ObjectsParams { longer_than, confidence, stride, .. } = *objects;
            request.scene_object =
                Some(SceneObjectSettings { scenes, count, jpeg_quality, longer_than, confidence, stride });
        }
        (Strategy::SceneMiddle | Strategy::SceneObject, _) => {
            request.scene_middle = Some(SceneMiddleSettings { scenes, count, jpeg_quality });
        }
    }
}

fn scene_settings(params: &SceneParams) -> SceneSettings {
    SceneSettings { threshold: params.threshold, min_scene_len: params.min_scene_len }
}

/// Returns the limits on the child process that decodes a video.
pub fn decode_limits(settings: &DecodeSettings) -> DecodeLimits {
    let DecodeSettings { memory_mb, cpu_s, wall_s, output_mb } = *settings;
    DecodeLimits { memory_mb, cpu_s, wall_s, output_mb }
}
