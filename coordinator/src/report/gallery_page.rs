//! The trailers as the page shows them: pictures with boxes, time lines, maps.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::number::{count, percent, span};
use super::{Gallery, Map, Shown};
use crate::charts::{self, Bar, Marks, Point, Timeline};
use crate::inspect::trailer::{KeyframeSet, KeyframeView, ObjectView};
use crate::signed::decimal;

/// Classes in a histogram of objects.
const MAX_CLASSES: usize = 8;
/// Width of a letter of a label, in percent of the width of a picture as the page shows it.
const LETTER: f64 = 5.6;
/// Height of a label, in percent of the same width.
const LABEL: f64 = 10.7;

/// The section of the trailers.
#[derive(Serialize)]
pub(super) struct Section {
    trailers: Vec<Trailer>,
    not_shown: String,
    unreadable: Vec<(String, String)>,
    maps: Vec<String>,
}

#[derive(Serialize)]
struct Trailer {
    id: String,
    title: String,
    movie: String,
    about: String,
    sets: Vec<Set>,
    /// The time line and the histogram as HTML.
    timeline: Option<String>,
    objects: Option<String>,
    nearest: Vec<(String, Vec<(String, String)>)>,
    remarks: Vec<String>,
}

#[derive(Serialize)]
struct Set {
    /// The anchor of its heading.
    id: String,
    strategy: String,
    frames: Vec<Frame>,
    note: String,
}

#[derive(Default, Serialize)]
struct Frame {
    /// The anchor that enlarges it.
    id: String,
    /// The anchors of its neighbours in the set.
    before: Option<String>,
    after: Option<String>,
    source: String,
    alt: String,
    caption: String,
    objects: String,
    width: usize,
    height: usize,
    /// Width by height.
    ratio: String,
    boxes: Vec<BoxShown>,
}

#[derive(Serialize)]
struct BoxShown {
    class: String,
    style: String,
    label: String,
    /// Whether the label has room only where the picture is enlarged.
    crowded: bool,
    /// Whether the label is below the upper edge, for want of room above.
    inside: bool,
}

pub(super) fn section(gallery: &Gallery) -> Section {
    Section {
        trailers: gallery.trailers.iter().enumerate().map(|(place, shown)| trailer(place, shown)).collect(),
        not_shown: if gallery.not_shown == 0 { String::new() } else { count(gallery.not_shown) },
        unreadable: gallery.unreadable.clone(),
        maps: gallery.maps.iter().map(|one| map(one, &genres_of(&gallery.maps))).collect(),
    }
}

fn trailer(place: usize, shown: &Shown) -> Trailer {
    let view = &shown.view;
    let mut about = Vec::new();
    if let Some(video) = &view.video {
        about.push(span(video.duration_s));
        about.push(format!("{} × {}", video.width, video.height));
        about.push(format!("{:.2} frames/s", video.fps));
        about.push(video.codec.clone());
    }
    if !shown.genres.is_empty() {
        about.push(shown.genres.join(", "));
    }
    let mut remarks = Vec::new();
    remarks.extend(view.short.as_ref().map(|reason| format!("The file ends early: {reason}.")));
    if let Some(reason) = view.sound.as_ref().and_then(|sound| sound.without.as_ref()) {
        remarks.push(format!("No audio embedding: {reason}."));
    }
    if let Some(track) = view.sound.as_ref().and_then(|sound| sound.track) {
        remarks.push(format!("Sound track {} of {} was read.", track.number, track.of));
    }
    let id = format!("trailer-{}", place + 1);
    let sets = view.sets.iter().enumerate();
    Trailer {
        sets: sets.map(|(number, set)| picture_set(set, &format!("{id}-{}", number + 1), &shown.title)).collect(),
        id,
        title: shown.title.clone(),
        movie: view.movie.clone(),
        about: about.join(" · "),
        timeline: timeline(shown),
        objects: objects(&view.objects),
        nearest: shown
            .nearest
            .iter()
            .map(|near| {
                let trailers = near.trailers.iter().map(|(title, likeness)| (title.clone(), decimal(*likeness, 2)));
                (near.modality.clone(), trailers.collect())
            })
            .collect(),
        remarks,
    }
}

fn picture_set(set: &KeyframeSet, id: &str, title: &str) -> Set {
    let mut note = set.shortfall.clone().unwrap_or_default();
    if set.padding > 0 {
        let black = match set.padding {
            1 => "1 black picture fills up the set".to_owned(),
            more => format!("{more} black pictures fill up the set"),
        };
        note = if note.is_empty() { black } else { format!("{note}: {black}") };
    }
    let anchor = |place: usize| set.keyframes.get(place).map(|_| format!("{id}-{}", place + 1));
    let frames = set.keyframes.iter().enumerate().map(|(place, one)| Frame {
        id: format!("{id}-{}", place + 1),
        before: place.checked_sub(1).and_then(anchor),
        after: anchor(place + 1),
        ..frame(one, title)
    });
    Set { id: id.to_owned(), strategy: set.strategy.clone(), frames: frames.collect(), note }
}

fn frame(keyframe: &KeyframeView, title: &str) -> Frame {
    let [width, height] = keyframe.size;
    let mut caption = format!("{:.2} s", keyframe.time_s);
    if let Some(scene) = keyframe.scene {
        caption += &format!(" · scene {scene}");
    }
    let objects = named(&keyframe.objects);
    let mut alt = format!("{title}, frame at {:.2} s", keyframe.time_s);
    if !objects.is_empty() {
        alt += &format!("; objects: {objects}");
    }
    let source = match keyframe.jpeg.is_empty() {
        true => String::new(),
        false => format!("data:image/jpeg;base64,{}", STANDARD.encode(&keyframe.jpeg)),
    };
    let ratio = format!("{:.4}", width.max(1) as f64 / height.max(1) as f64);
    Frame { source, alt, caption, objects, width, height, ratio, boxes: boxes(keyframe), ..Frame::default() }
}

/// Names the objects by class, the most frequent first: `person ×2, car`.
fn named(objects: &[ObjectView]) -> String {
    let mut classes: Vec<(&str, usize)> = Vec::new();
    for object in objects {
        match classes.iter_mut().find(|(known, _)| *known == object.label) {
            Some((_, count)) => *count += 1,
            None => classes.push((&object.label, 1)),
        }
    }
    classes.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let name = |(label, count): (&str, usize)| if count == 1 { label.to_owned() } else { format!("{label} ×{count}") };
    classes.into_iter().map(name).collect::<Vec<_>>().join(", ")
}

/// Places the boxes of a keyframe, in percent of the picture. A label that would cover another
/// one is shown only where the picture is enlarged; the caption names all objects.
fn boxes(keyframe: &KeyframeView) -> Vec<BoxShown> {
    let [width, height] = keyframe.size.map(|side| side.max(1) as f64);
    let label = LABEL * width / height;
    let mut taken: Vec<[f64; 4]> = Vec::new();
    let mut classes: Vec<&str> = Vec::new();
    let mut shown = Vec::new();
    for object in &keyframe.objects {
        let share = |edge: f32, side: f64| {
            let share = 100.0 * f64::from(edge) / side;
            if share.is_finite() { share.clamp(0.0, 100.0) } else { 0.0 }
        };
        let [left, top, right, bottom] = object.edges;
        let (left, right) = (share(left, width), share(right, width));
        let (top, bottom) = (share(top, height), share(bottom, height));
        let class = classes.iter().position(|known| *known == object.label).unwrap_or_else(|| {
            classes.push(&object.label);
            classes.len() - 1
        });
        let text = format!("{} {:.2}", object.label, object.confidence);
        let wide = text.chars().count() as f64 * LETTER;
        let inside = top < label;
        let upper = if inside { top } else { top - label };
        let own = [left, upper, left + wide, upper + label];
        let free =
            |other: &[f64; 4]| own[2] <= other[0] || own[0] >= other[2] || own[3] <= other[1] || own[1] >= other[3];
        let crowded = own[2] > 104.0 || !taken.iter().all(free);
        if !crowded {
            taken.push(own);
        }
        shown.push(BoxShown {
            class: charts::colour(class),
            style: format!(
                "left:{left:.2}%;top:{top:.2}%;width:{:.2}%;height:{:.2}%",
                (right - left).max(0.0),
                (bottom - top).max(0.0)
            ),
            label: text,
            crowded,
            inside,
        });
    }
    shown
}

fn timeline(shown: &Shown) -> Option<String> {
    let view = &shown.view;
    let duration_s = view.video.as_ref().map(|video| video.duration_s).filter(|seconds| *seconds > 0.0)?;
    let marks = view.sets.iter().map(|set| Marks {
        name: set.strategy.clone(),
        times_s: set.keyframes.iter().map(|keyframe| keyframe.time_s).collect(),
    });
    let peaks = || view.sound.iter().flat_map(|sound| &sound.peaks).map(|peak| f64::from(*peak));
    let loudest = peaks().fold(1.0, f64::max);
    let line = Timeline {
        title: format!("{} over time", shown.title),
        duration_s,
        curve: view.scenes.as_ref().map(|scenes| scenes.scores.clone()).unwrap_or_default(),
        threshold: view.scenes.as_ref().map(|scenes| scenes.threshold),
        bands: view.scenes.as_ref().map(|scenes| scenes.spans_s.clone()).unwrap_or_default(),
        sound: peaks().map(|peak| peak / loudest).collect(),
        marks: marks.collect(),
    };
    let mut chart = line.chart();
    chart.title = "Over time".to_owned();
    chart.note = match &view.scenes {
        Some(scenes) => {
            let at_least =
                scenes.min_scene_len.map_or_else(String::new, |frames| format!(" of at least {frames} frames"));
            format!(
                "Change from frame to frame, with its threshold and {}{at_least}; below, where each strategy took its keyframes.",
                super::number::counted(scenes.spans_s.len() as u64, "scene")
            )
        }
        None => "Where each strategy took its keyframes.".to_owned(),
    };
    Some(chart.figure())
}

fn objects(found: &[(String, u64)]) -> Option<String> {
    let bars: Vec<Bar> = found
        .iter()
        .take(MAX_CLASSES)
        .map(|(class, number)| Bar { name: class.clone(), length: *number as f64, value: count(*number) })
        .collect();
    let note = "In all frames that the detector saw.";
    (!bars.is_empty()).then(|| charts::bars("Objects", note, "objects", 0.0, &bars).figure())
}

/// The genres of the points, the most frequent first, over all maps: a genre has one colour.
fn genres_of(maps: &[Map]) -> Vec<(&str, usize)> {
    let mut genres: Vec<(&str, usize)> = Vec::new();
    for point in maps.iter().flat_map(|map| &map.points) {
        match genres.iter_mut().find(|(known, _)| *known == point.genre) {
            Some((_, count)) => *count += 1,
            None => genres.push((&point.genre, 1)),
        }
    }
    genres.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    genres
}

fn map(map: &Map, genres: &[(&str, usize)]) -> String {
    let place = |genre: &str| {
        let found = genres.iter().position(|(known, _)| *known == genre).unwrap_or(0);
        if genres.len() > charts::COLOURS { found.min(charts::COLOURS - 1) } else { found }
    };
    let name = |genre: &str| if genre.is_empty() { "no genre".to_owned() } else { genre.to_owned() };
    let mut names: Vec<String> = genres.iter().take(charts::COLOURS).map(|(genre, _)| name(genre)).collect();
    if genres.len() > charts::COLOURS {
        names[charts::COLOURS - 1] = "other".to_owned();
    }
    let points: Vec<Point> = map
        .points
        .iter()
        .map(|point| Point { name: point.title.clone(), category: place(&point.genre), at: point.at })
        .collect();
    let mut note = format!(
        "Two principal components, which hold {} % of the variance. Near points look alike to the model. Colours: first genre.",
        percent(map.variance.iter().sum())
    );
    if map.not_shown > 0 {
        note += &format!(" {} further trailers are not drawn.", count(map.not_shown));
    }
    let title = if map.modality == "audio" { "Trailers by sound" } else { "Trailers by picture" };
    charts::scatter(title, &note, &names, &points).figure()
}
