//! `jhalak models add`: recognises the file of a detector and prints its entry.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use jhalak_common::models::{Channels, DetectorOutput, Filter, Labels, Layout, Model, PictureInput, Resize};
use jhalak_common::process::exit;
use jhalak_common::settings::Settings;
use jhalak_common::{Error, Result, hash};
use jhalak_worker::detect::frames;
use jhalak_worker::detect::suggest::{Suggestion, suggest};
use jhalak_worker::media::FrameSettings;
use jhalak_worker::onnx::file_facts;
use serde_json::json;

use crate::commands::video_args::{self, Hook};
use crate::console::output::Output;

#[derive(Args)]
pub(super) struct Add {
    /// ONNX file
    #[arg(value_name = "FILE.onnx")]
    file: PathBuf,
    /// Name of the entry
    ///
    /// [default: the name of the file]
    #[arg(long, value_name = "NAME", help_heading = "Entry")]
    name: Option<String>,
    /// List the objects in this picture too
    #[arg(long, value_name = "IMAGE", help_heading = "Trial")]
    picture: Option<PathBuf>,
}

impl Add {
    pub(super) async fn execute(self, settings: &Settings, output: &Output) -> Result<u8> {
        let file = std::path::absolute(&self.file)?;
        let shown = self.file.display().to_string();
        let bytes = std::fs::read(&file).map_err(|e| Error::invalid(format!("cannot read {shown}")).with_source(e))?;
        let facts = file_facts::of(&bytes).ok_or_else(|| Error::invalid(format!("{shown} is not an ONNX file")))?;
        let (Some(folder), Some(base)) = (file.parent(), file.file_name()) else {
            return Err(Error::invalid(format!("{shown} is not a file")));
        };
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        // An argument that begins with a dash is an option.
        let name = self.name.clone().unwrap_or_else(|| stem.trim_start_matches('-').to_owned());
        if name.is_empty() || name.starts_with('-') {
            let problem = "the name of an entry must not be empty or begin with a dash: state another with --name";
            return Err(Error::invalid(problem));
        }
        let mut here = settings.clone();
        here.models.folder = folder.to_path_buf();
        let (sha256, base) = (hash::of_bytes(&bytes), PathBuf::from(base));
        let find = move || suggest(&here, &name, base, sha256, &facts);
        let found = tokio::task::spawn_blocking(find).await;
        let found = found.map_err(|e| Error::bug("looking at a model panicked").with_source(e))?;
        let Suggestion { model, detector, assumptions } = found.map_err(|e| e.context(&shown))?;
        let entry = entry(&model)?;
        let how = detector.how().clone();
        let mut text = String::new();
        for assumption in &assumptions {
            let _ = writeln!(text, "# {assumption}");
        }
        text.push_str(&entry);
        if folder != std::path::absolute(&settings.models.folder)? {
            output.progress.say(&format!("copy {shown} into {}", settings.models.folder.display()));
        }
        output.progress.say("copy the lines below into the file that models.registry names");
        let mut objects = Vec::new();
        if let Some(picture) = &self.picture {
            video_args::check(picture)?;
            for object in objects_in(picture, settings, detector).await? {
                let (label, b) = (how.labels.name(object.class as usize), object.bounds);
                output.progress.say(&format!(
                    "{}: {label} {:.3}  {:.1} {:.1} {:.1} {:.1}",
                    picture.display(),
                    object.confidence,
                    b.left,
                    b.top,
                    b.right,
                    b.bottom
                ));
                let edges = [b.left, b.top, b.right, b.bottom];
                objects.push(json!({ "label": label, "score": object.confidence, "box": edges }));
            }
            if objects.is_empty() {
                output.progress.say(&format!("{}: no objects", picture.display()));
            }
        }
        let mut answer = json!({ "file": self.file, "entry": entry, "model": model, "assumptions": assumptions });
        if self.picture.is_some() {
            answer["objects"] = objects.into();
        }
        output.print(&answer, &text)?;
        Ok(exit::DONE)
    }
}

/// Returns the objects in a picture, or in the first frame of a video.
async fn objects_in(
    picture: &Path,
    settings: &Settings,
    detector: jhalak_worker::detect::ObjectDetector,
) -> Result<Vec<jhalak_worker::media::Object>> {
    let (watcher, watching) = frames::spawn(detector, 1)?;
    let every = Some(FrameSettings { stride: u64::MAX });
    let decoded =
        video_args::decode(picture, settings, |request| request.frames = every, Hook::Visitor(Box::new(watcher))).await;
    let seen = tokio::task::block_in_place(|| watching.finish()).map_err(|e| e.context(picture.display()))?;
    decoded?;
    Ok(seen.frames.into_iter().next().map(|frame| frame.objects).unwrap_or_default())
}

/// Returns the entry as text for models.toml, without what is the default.
fn entry(model: &Model) -> Result<String> {
    let (Some(picture), Some(how)) = (&model.picture, &model.detector) else {
        return Err(Error::bug("the entry of a detector lacks a section"));
    };
    Ok(format!(
        "[[model]]\nname = {}\nrole = \"detector\"\nfile = {}\nsha256 = \"{}\"\npicture = {{ {} }}\ndetector = {{ {} }}\n",
        quoted(&model.name),
        quoted(&model.file.to_string_lossy()),
        model.sha256,
        picture_fields(picture),
        detector_fields(how)
    ))
}

/// Returns a string of TOML, with every character escaped that is not seen or turns the reading
/// direction.
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        let is_unseen = c.is_control()
            || matches!(c, '\u{AD}' | '\u{61C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}');
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if is_unseen => {
                let _ = write!(out, "\\u{:04X}", c as u32);
            }
            c => out.push(c),
        }
    }
    out + "\""
}

fn picture_fields(picture: &PictureInput) -> String {
    let mut fields = Vec::new();
    if picture.width > 0 {
        fields.push(format!("width = {}, height = {}", picture.width, picture.height));
    }
    fields.push(format!(
        "resize = \"{}\"",
        match picture.resize {
            Resize::Stretch => "stretch",
            Resize::Crop => "crop",
            Resize::Letterbox => "letterbox",
            Resize::LetterboxTopLeft => "letterbox-top-left",
        }
    ));
    if picture.filter == Filter::TwoTap {
        fields.push("filter = \"two-tap\"".into());
    }
    fields.push(format!("channels = \"{}\"", if picture.channels == Channels::Bgr { "bgr" } else { "rgb" }));
    if picture.layout == Layout::Nhwc {
        fields.push("layout = \"nhwc\"".into());
    }
    if let Some(divisor) = picture.divide_by {
        fields.push(format!("divide_by = {divisor:.1}"));
    }
    if picture.mean != [0.0; 3] || picture.std != [1.0; 3] {
        fields.push(format!("mean = {:?}, std = {:?}", picture.mean, picture.std));
    }
    if let Some(pad) = picture.pad {
        fields.push(format!("pad = {pad}"));
    }
    fields.join(", ")
}

fn detector_fields(how: &DetectorOutput) -> String {
    let mut fields = vec![format!("decode = \"{}\"", how.decode.name())];
    if let Some(unit) = how.boxes {
        fields.push(format!("boxes = \"{}\"", unit.name()));
    }
    if how.strides != [8, 16, 32] {
        fields.push(format!("strides = {:?}", how.strides));
    }
    match &how.labels {
        Labels::Unstated => {}
        Labels::Named(set) => fields.push(format!("labels = {}", quoted(set))),
        Labels::List(names) => {
            let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
            fields.push(format!("labels = [{}]", names.join(", ")));
        }
    }
    fields.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_reads_every_text_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("models.toml");
        let hash = hash::of_bytes(b"");
        for text in
            ["plain", "a\u{202e}b", "say \"hi\" \\ c:", "tab\tand\nline", "\u{0}\u{7f}\u{feff}", "caf\u{e9} \u{1f600}"]
        {
            let written = quoted(text);
            let entry = format!(
                "version = 1\n[[model]]\nname = {written}\nrole = \"detector\"\nfile = \"a.onnx\"\nsha256 = \"{hash}\"\n\
                 picture = {{ resize = \"letterbox\" }}\ndetector = {{ decode = \"yolov8\" }}\n"
            );
            std::fs::write(&path, entry).expect("written");
            let read = jhalak_common::models::Registry::load(Some(&path)).unwrap_or_else(|e| panic!("{}", e.chain()));
            assert_eq!(read.models[0].name, text, "{written}");
            let is_seen = |c: char| !c.is_control() && c != '\u{202e}' && c != '\u{feff}';
            assert!(written.chars().all(is_seen), "{written}");
        }
    }
}
