//! Decodes one trailer as a job does: `decode VIDEO OUT_DIR [audio|keyframes]` in a limited child process, `inline ...` in this one.
use jhalak_worker::media::{self, child};
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == child::SUBCOMMAND) {
        return media::run_child();
    }
    let [verb, video, out_dir, rest @ ..] = arguments.as_slice() else {
        eprintln!("use: decode|inline VIDEO OUT_DIR [audio|keyframes]");
        return ExitCode::from(2);
    };
    let wanted = |what: &str| rest.is_empty() || rest.iter().any(|r| r == what);
    let request = media::DecodeRequest {
        id: "trailer".into(),
        video: PathBuf::from(video),
        out_dir: PathBuf::from(out_dir),
        keyframes: wanted("keyframes").then(Default::default),
        audio: wanted("audio").then(Default::default),
    };
    let result = if verb == "inline" {
        media::decode::run(&request)
    } else {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let exe = std::env::current_exe().expect("own path");
        runtime.block_on(child::decode(&exe, &request, &Default::default(), &Default::default()))
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
