//! The page of a report in a real Chromium: complete, accessible, and silent.

use std::path::{Path, PathBuf};
use std::process::Command;

use jhalak_tests::browser::{Browser, Screen};
use jhalak_tests::dataset::{Made, id};
use jhalak_tests::programs::{command, run};
use jhalak_tests::repository;
use serde_json::{Value, json};

/// Markup in a film's title that would break out of its element.
const HOSTILE: &str = "</script><script>document.title='taken'</script><img src=x onerror=document.title='taken'>";

/// The run: all strategies, enough epochs for curves.
fn jhalak(folder: &Path) -> Command {
    let mut jhalak = command("jhalak", &folder.join("store"));
    jhalak.env("JHALAK__EXTRACT__ALSO", "scene-middle,scene-object").env("JHALAK__EXTRACT__OBJECT_STRIDE", "10");
    jhalak.env("JHALAK__EVALUATE__EPOCHS", "3").args(["run", "--json", "--dataset"]).arg(folder.join("data"));
    jhalak
}

/// Runs the made dataset with all strategies and returns the run's id and its page.
fn report(folder: &Path) -> (String, PathBuf) {
    let dataset = folder.join("data");
    let made = Made::new(&dataset, true);
    let movies = std::fs::read_to_string(dataset.join("movies.csv")).expect("the table of movies");
    made.write("movies.csv", &movies.replace("Movie 1", HOSTILE));
    // A trailer that is none: the report lists it as a failure.
    std::fs::write(dataset.join(format!("trailers/{}.mp4", id(5))), "not a video").expect("room on disk");
    let ended = run(&mut jhalak(folder));
    assert_eq!(ended.code, Some(4), "{}", ended.err);
    let answer: Value = serde_json::from_str(&ended.out).expect("JSON on standard output");
    let page = answer["report"].as_str().expect("a location").trim_start_matches("file://").to_owned();
    (answer["run"].as_str().expect("an id").to_owned(), page.into())
}

/// The anchors that lead to something that is not seen: a browser goes there without a script.
const HIDDEN_TARGETS: &str = "[...document.querySelectorAll('main a, nav a')].map(a => a.getAttribute('href')) \
    .filter(h => h.startsWith('#')).filter(h => { document.querySelectorAll('details').forEach(d => d.open = false); \
    location.hash = h; const to = document.getElementById(h.slice(1)); \
    return !to.checkVisibility({ contentVisibilityAuto: true }); })";

/// A keyframe that is chosen fills the window, has neighbours, and is closed again.
fn check_enlarging(browser: &mut Browser, page: &Path) {
    for screen in [Screen::ALL[0], Screen::ALL[3]] {
        browser.open_file(page, screen);
        let wide = "document.querySelector('.sheet .picture').getBoundingClientRect().width";
        let small = browser.evaluate(wide).as_f64().expect("a width");
        browser.evaluate("document.querySelector('.sheet .open').focus(); document.activeElement.click()");
        let large = browser.evaluate(wide).as_f64().expect("a width");
        assert!(large > 2.5 * small && large <= f64::from(screen.width), "{screen:?}: {small} became {large} px wide");
        let next = "(() => { const all = [...document.querySelectorAll('li:target .steps a')]; \
                    all.find(a => a.textContent == 'Next').click(); return document.querySelector('li:target').id; })()";
        assert_eq!(browser.evaluate(next), json!("trailer-1-1-2"));
        let shut = "(() => { document.querySelector('li:target .shut').click(); \
                    return document.querySelector('.sheet li:target') == null; })()";
        assert_eq!(browser.evaluate(shut), json!(true));
    }
}

/// On paper folded figures are seen, and what belongs to a screen is not.
fn check_paper(browser: &mut Browser, page: &Path) {
    browser.open_file(page, Screen::ALL[0]);
    browser.on_paper(true);
    let seen = |browser: &mut Browser, of: &str| {
        browser.evaluate(&format!("[...document.querySelectorAll('{of}')].map(e => e.checkVisibility())"))
    };
    let all = |value: &Value, expected: bool| {
        value.as_array().is_some_and(|all| !all.is_empty() && all.iter().all(|one| *one == json!(expected)))
    };
    let figures = seen(browser, "details:not(.numbers, .for-phones, .on-screen) td, .numbers.printed td");
    assert!(all(&figures, true), "folded figures are not printed");
    let others = seen(browser, ".contents li, .sheet .open, details.on-screen td");
    assert!(all(&others, false), "what belongs to a screen is printed");
    browser.on_paper(false);
}

#[test]
fn the_report_and_the_pages_are_accessible_quiet_and_show_the_trailers() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (name, page) = report(folder.path());
    let axe = std::fs::read_to_string(repository().join(".local/web/axe.min.js"));
    let axe = axe.expect("axe-core is installed by `scripts/setup.sh test`");
    let mut browser = Browser::start();
    for screen in Screen::ALL {
        browser.open_file(&page, screen);
        assert_ne!(browser.evaluate("document.title"), json!("taken"));
        let pictures = browser.evaluate("[...document.images].map(i => i.naturalWidth > 0 && i.alt != '')");
        let pictures = pictures.as_array().expect("a list");
        assert!(pictures.len() > 48 && pictures.iter().all(|shown| *shown == json!(true)), "{}", pictures.len());
        let overflow = browser.evaluate("document.documentElement.scrollWidth - innerWidth");
        assert!(overflow.as_i64() <= Some(0), "{screen:?}: the page is {overflow} px too wide");
        // Folded sections are part of the page too.
        browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)");
        let findings = browser.accessibility_findings(&axe);
        assert!(findings.is_empty(), "{screen:?}:\n{}", findings.join("\n"));
        assert!(browser.console().is_empty(), "{screen:?}: {:?}", browser.console());
        let requests = browser.requested();
        assert!(requests.iter().skip(1).all(|url| url.starts_with("data:")), "{requests:?}");
    }
    let dead = "[...document.querySelectorAll('nav a, main a')].map(a => a.getAttribute('href')) \
                .filter(h => h.startsWith('#') && !document.getElementById(h.slice(1)))";
    assert_eq!(browser.evaluate(dead), json!([]), "every anchor leads somewhere");
    assert_eq!(browser.evaluate(HIDDEN_TARGETS), json!([]), "every anchor leads to something that is seen");
    check_enlarging(&mut browser, &page);
    check_paper(&mut browser, &page);
    browser.open_file(&page, Screen::ALL[0]);
    let text = browser.evaluate("document.querySelector('main').textContent");
    let text = text.as_str().expect("text");
    for part in [
        "How the run went",
        "Time by stage",
        "Trailers by picture",
        "Nearest trailers",
        "Learning",
        "Reliability",
        "Ranking the movies",
        "New viewers",
    ] {
        assert!(text.contains(part), "{part} is missing");
    }
    assert!(!text.contains("NaN") && !text.contains("undefined") && !text.contains("inf %"), "{text}");
    assert_eq!(browser.evaluate("document.querySelectorAll('article.trailer').length"), json!(3));

    // One more measure, by name. Those that the report has stay.
    let store = folder.path().join("store");
    let added = run(command("jhalak", &store).args(["report", &name, "--measures", "ablation", "--json"]));
    assert_eq!(added.code, Some(0), "{}", added.err);
    let measures = serde_json::from_str::<Value>(&added.out).expect("a report")["measures"].clone();
    let has = |measure: &str| !measures[measure].is_null() || !measures["not_computed"][measure].is_null();
    assert!(
        has("ablation") && measures["ranking"]["rankers"].as_array().is_some_and(|all| all.len() == 5),
        "{measures}"
    );

    let text = std::fs::read_to_string(&page).expect("the page");
    assert!(text.matches("src=\"data:image/jpeg").count() > 48, "the pictures are kept");

    // One more trailer, by name, comes first. A trailer that does not exist is refused.
    let also = |movie: &str| run(command("jhalak", &store).args(["report", &name, "--trailer", movie]));
    let shown =
        browser.evaluate("[...document.querySelectorAll('article.trailer h3 small')].map(e => e.textContent.trim())");
    let hidden = (0..4).map(id).find(|id| !shown.as_array().is_some_and(|all| all.contains(&json!(id)))).expect("one");
    let added = also(&hidden);
    assert_eq!(added.code, Some(0), "{}", added.err);
    browser.open_file(&page, Screen::ALL[0]);
    let first = browser.evaluate("document.querySelector('article.trailer h3 small').textContent.trim()");
    assert_eq!(
        (first, browser.evaluate("document.querySelectorAll('article.trailer').length")),
        (json!(hidden), json!(4))
    );
    let refused = also("nobody");
    assert!(refused.code == Some(3) && refused.err.contains("no trailer of the movie `nobody`"), "{}", refused.err);

    // The pages of the store in the same browser.
    super::serve_pages::check(&store, &name, &mut browser, &axe);

    // The same run without pictures writes the page again.
    let again = run(jhalak(folder.path()).env("JHALAK__REPORT__IMAGES", "none"));
    assert_eq!(again.code, Some(4), "{}", again.err);
    let text = std::fs::read_to_string(&page).expect("the page");
    assert!(!text.contains("<img") && text.contains("report.images") && text.len() < 1_000_000);
}
