//! Decodes one trailer like a job does: `decode VIDEO OUT_DIR [OUTPUT...]` in a child process with
//! limits, `inline ...` in this process. Its detector costs nothing: the first pixel determines the
//! objects.
use jhalak_media::bounds::Bounds;
use jhalak_media::picture::Picture;
use jhalak_media::{self as media, Detector, MediaError, Object, sandbox};
use std::path::PathBuf;
use std::process::ExitCode;

/// Finds as many objects as the first pixel says.
struct Corner;

impl Detector for Corner {
    fn detect(&mut self, rgb: &Picture) -> Result<Vec<Object>, MediaError> {
        let bounds = Bounds { left: 0.0, top: 0.0, right: 1.0, bottom: 1.0 };
        let object = |class| Object { class, confidence: 0.9, bounds };
        Ok((0..1 + u32::from(rgb.rgb[0] % 8)).map(object).collect())
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == sandbox::SUBCOMMAND) {
        return media::run_child();
    }
    let [verb, video, out_dir, rest @ ..] = arguments.as_slice() else {
        eprintln!("usage: decode|inline VIDEO OUT_DIR [audio|keyframes|scenes|scene-middle|scene-object]...");
        return ExitCode::from(2);
    };
    let wanted = |what: &str| rest.is_empty() || rest.iter().any(|r| r == what);
    let mut request = media::DecodeRequest::new("trailer", PathBuf::from(video), PathBuf::from(out_dir));
    request.keyframes = wanted("keyframes").then(Default::default);
    request.scenes = wanted("scenes").then(Default::default);
    request.scene_middle = wanted("scene-middle").then(Default::default);
    request.scene_object = wanted("scene-object").then(Default::default);
    request.audio = wanted("audio").then(Default::default);
    let result = if verb == "inline" {
        media::decode::run_with(
            &request,
            &mut |_, _| {},
            media::decode::Hooks { detector: Some(&mut Corner), visitor: None },
        )
    } else {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let exe = std::env::current_exe().expect("own path");
        let (limits, cancel) = Default::default();
        runtime.block_on(sandbox::decode_with_detector(&exe, &request, &limits, &cancel, Box::new(Corner)))
    };
    match result {
        Ok(report) => println!("{}", serde_json::to_string_pretty(&report).expect("json")),
        Err(error) => {
            println!("{error:?}");
            return ExitCode::from(3);
        }
    }
    ExitCode::SUCCESS
}
