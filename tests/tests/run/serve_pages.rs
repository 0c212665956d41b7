//! The pages of `jhalak serve` in a real Chromium: accessible, silent, within the window; a trailer
//! that plays and is jumped in, and one that a visitor brings.

use std::path::Path;

use jhalak_tests::browser::{Browser, Screen};
use jhalak_tests::dataset::id;
use jhalak_tests::page_server::PageServer;
use jhalak_tests::programs::command;
use serde_json::{Value, json};

/// Brings what is loaded when it is seen, and folds everything open.
const SHOW_ALL: &str = "(async () => {
    document.querySelectorAll('details').forEach(d => d.open = true);
    const waiting = () => document.querySelector('[data-load] > h2 + p > a');
    for (const part of document.querySelectorAll('[data-load]')) part.scrollIntoView();
    for (let i = 0; waiting() && i < 600; i++) await new Promise(done => setTimeout(done, 50));
    document.querySelectorAll('img').forEach(i => i.loading = 'eager');
    await Promise.all([...document.images].map(i => i.decode().catch(() => {})));
    scrollTo(0, 0);
    return [...document.images].filter(i => !i.naturalWidth).map(i => i.src);
})()";

/// Plays the trailer until its time runs, and stops it.
const PLAY: &str = "(async () => {
    const player = document.getElementById('player');
    player.muted = true;
    const runs = new Promise(done => player.addEventListener('timeupdate', () => player.currentTime > 0.1 && done()));
    await player.play();
    await runs;
    player.pause();
    return { width: player.videoWidth, duration: player.duration };
})()";

/// Jumps to the last keyframe by its button, and returns how far from it the player is.
const JUMP: &str = "(async () => {
    const player = document.getElementById('player');
    const buttons = document.querySelectorAll('.strategy button[data-seek]');
    const button = buttons[buttons.length - 1];
    const there = new Promise(done => player.addEventListener('seeked', done, { once: true }));
    button.click();
    await there;
    const off = player.currentTime - Number(button.dataset.seek);
    player.pause();
    return off;
})()";

/// Sends the trailer of the address as a visitor's own file, and waits for what is found in it.
fn bring(video: &str) -> String {
    format!(
        "(async () => {{
            const file = new File([await (await fetch('{video}')).blob()], 'my <b>film</b>.mp4');
            const given = new DataTransfer();
            given.items.add(file);
            const input = document.querySelector('[data-upload] input');
            input.files = given.files;
            input.dispatchEvent(new Event('change'));
            const found = () => document.querySelector('.result .fragment');
            for (let i = 0; !found() && i < 1000; i++) await new Promise(done => setTimeout(done, 50));
            return found()?.textContent ?? document.querySelector('[data-upload] [role=status]').textContent;
        }})()"
    )
}

/// Looks at every page of the run `run`, whose dataset has a hostile title, with axe-core.
pub fn check(store: &Path, run: &str, browser: &mut Browser, axe: &str) {
    let server = PageServer::start(command("jhalak", store));
    let origin = format!("http://{}", server.address);
    let of_run = |path: &str| format!("{origin}/runs/{run}{path}");
    let trailer = of_run(&format!("/trailers/{}", id(0)));
    let pages = [
        format!("{origin}/runs"),
        of_run(""),
        of_run("/trailers"),
        trailer.clone(),
        of_run(&format!("/trailers/{}", id(5))),
        of_run(&format!("/try?like={}&dislike={}", id(0), id(1))),
        of_run("/quarantine"),
        of_run("/compare"),
    ];
    for (number, page) in pages.iter().enumerate() {
        // Each page on a desktop and a phone, light and dark in turn.
        for screen in [Screen::ALL[number % 2], Screen::ALL[3 - number % 2]] {
            browser.open(page, screen);
            assert_eq!(browser.evaluate(SHOW_ALL), json!([]), "{page}: pictures are missing");
            assert_ne!(browser.evaluate("document.title"), json!("taken"), "{page}");
            let overflow = browser.evaluate("document.documentElement.scrollWidth - innerWidth");
            assert!(overflow.as_i64() <= Some(0), "{page}, {screen:?}: {overflow} px too wide");
            let findings = browser.accessibility_findings(axe);
            assert!(findings.is_empty(), "{page}, {screen:?}:\n{}", findings.join("\n"));
            assert!(browser.console().is_empty(), "{page}, {screen:?}: {:?}", browser.console());
            let others = |url: &&String| !url.starts_with(&origin) && !url.starts_with("data:");
            let others: Vec<&String> = browser.requested().iter().filter(others).collect();
            assert!(others.is_empty(), "{page} asks others: {others:?}");
        }
    }

    browser.open(&trailer, Screen::ALL[0]);
    let played = browser.evaluate(PLAY);
    assert_eq!(played["width"], 320, "{played}");
    assert!(played["duration"].as_f64().is_some_and(|s| (2.9..3.2).contains(&s)), "{played}");
    let off = browser.evaluate(JUMP).as_f64().expect("a time");
    assert!((0.0..0.3).contains(&off), "the player is {off} s beside the keyframe");
    let statuses =
        "performance.getEntriesByType('resource').filter(e => e.name.endsWith('/video')).map(e => e.responseStatus)";
    let statuses = browser.evaluate(statuses);
    let all_ranges = |list: &Vec<Value>| !list.is_empty() && list.iter().all(|status| *status == json!(206));
    assert!(statuses.as_array().is_some_and(all_ranges), "the player asks for ranges: {statuses}");

    browser.open(&of_run("/try"), Screen::ALL[0]);
    let found = browser.evaluate(&bring(&format!("{trailer}/video")));
    let found = found.as_str().expect("text");
    assert!(found.contains("my <b>film</b>.mp4") && found.contains("Nearest trailers"), "{found}");
    let findings = browser.accessibility_findings(axe);
    assert!(findings.is_empty() && browser.console().is_empty(), "{findings:?} {:?}", browser.console());
}
