//! Loads settings from a file, the environment and options, and names the origin of each fault.

use std::path::Path;

use config::builder::DefaultState;
use config::{ConfigBuilder, Environment, File, FileFormat, Source, Value, ValueKind};

use super::reference::{self, Origin};
use super::{ENVIRONMENT_PREFIX, MEMORY, Settings, secret_file};
use crate::error::{Error, Result};
use crate::redact::redact_text;

/// Settings that are lists: in the environment and on the command line, commas separate their
/// values.
const LISTS: [&str; 6] = [
    "rabbitmq.retry_delays_ms",
    "worker.sources",
    "sources.https_hosts",
    "extract.also",
    "models.video_also",
    "report.measures",
];

/// The least similarity of two names at which one is suggested for the other.
const SIMILAR: f64 = 0.8;

/// The most names that are suggested.
const SUGGESTED: usize = 3;

impl Settings {
    /// Loads the defaults, overridden by the TOML file `file` if given, then by the environment,
    /// then by `flags` (`section.key`, value).
    ///
    /// # Errors
    /// InvalidInput with the key if a key is unknown, or a value has the wrong type or is out of
    /// range.
    pub fn load(file: Option<&Path>, flags: &[(String, String)]) -> Result<Settings> {
        check_environment(std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()))?;
        let given = given(file, flags)?;
        let schema = reference::schema();
        let known = reference::leaves(&schema);
        for one in &given {
            one.check_known(&known)?;
        }
        let builder = given.iter().try_fold(config::Config::builder(), |builder, one| one.add_to(builder))?;
        let merged = builder.build().map_err(|e| {
            Error::invalid(format!("the configuration cannot be read: {}", redact_text(&e.to_string())))
        })?;
        let mut settings: Settings = merged.try_deserialize().map_err(|error| {
            let wrong = given.iter().find_map(|one| one.fault(&schema, &known));
            let unplaced = || format!("the configuration is not valid: {}", redact_text(&error.to_string()));
            Error::invalid(wrong.unwrap_or_else(unplaced))
        })?;
        settings.read_queue_file()?;
        settings.check()?;
        Ok(settings)
    }

    /// Takes the queue's URL from its file, if one is named.
    fn read_queue_file(&mut self) -> Result<()> {
        let Some(file) = &self.queue_file else { return Ok(()) };
        if self.queue != MEMORY {
            return Err(Error::invalid("the settings queue and queue_file are both set: remove one of them"));
        }
        self.queue = secret_file::read("queue_file", file)?;
        self.rabbitmq.url_file = Some(file.clone());
        Ok(())
    }
}

/// One value that was given, with its origin.
struct Given {
    key: String,
    value: Value,
    origin: Origin,
}

impl Given {
    /// # Errors
    /// InvalidInput with the most similar name where there is no such setting.
    fn check_known(&self, known: &[(String, serde_json::Value)]) -> Result<()> {
        let key = self.key.as_str();
        // A section that is given as a whole is checked when it is read.
        if known.iter().any(|(name, _)| name == key || name.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')))
        {
            return Ok(());
        }
        let near = nearest(key, known.iter().map(|(name, _)| name.as_str()));
        let near: Vec<String> = near.iter().map(|name| format!("`{name}`")).collect();
        let way = match near.split_last() {
            None => "`jhalak settings` lists all".to_owned(),
            Some((one, [])) => format!("did you mean {one}?"),
            Some((last, others)) => format!("did you mean {} or {last}?", others.join(", ")),
        };
        Err(Error::invalid(format!("{}: there is no setting `{}`; {way}", self.origin.shown(), key.escape_debug())))
    }

    fn add_to(&self, builder: ConfigBuilder<DefaultState>) -> Result<ConfigBuilder<DefaultState>> {
        builder
            .set_override(self.key.as_str(), self.value.clone())
            .map_err(|e| Error::invalid(format!("{}: {e}", self.origin.shown())))
    }

    /// Returns why this value alone cannot be read. The value may be a secret and is not shown.
    fn fault(&self, schema: &serde_json::Value, known: &[(String, serde_json::Value)]) -> Option<String> {
        let alone = self.add_to(config::Config::builder()).ok()?.build().ok()?;
        let error = alone.try_deserialize::<Settings>().err()?;
        let (origin, key) = (self.origin.shown(), &self.key);
        let reported = redact_text(&error.to_string());
        Some(match known.iter().find(|(name, _)| name == key) {
            Some((_, property)) => {
                // A text that is refused has a form of its own, which the error describes.
                let wanted = match reference::kind(schema, property) {
                    kind if kind == "text" => reported,
                    kind => format!("expected {kind}{}", reference::range(property).unwrap_or_default()),
                };
                format!("{origin}: the setting `{key}` is not valid: {wanted} (`jhalak settings {key}` describes it)")
            }
            None => format!("{origin}: the section `{key}` is not valid: {reported}"),
        })
    }
}

/// Returns the known settings whose name is nearest to `key`, best first: the same name in another
/// section, or a similar one.
fn nearest<'a>(key: &str, known: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let key = key.to_lowercase().replace('-', "_");
    let leaf = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let own = leaf(&key);
    let similarity = |name: &str| {
        let whole = strsim::jaro_winkler(name, &key);
        let leaf = leaf(name);
        match leaf == own {
            true => 1.0 + whole,
            // One name in another section, with a slip.
            false => whole.max(0.95 * strsim::jaro_winkler(&leaf, &own)),
        }
    };
    let mut scored: Vec<(f64, &str)> = known.map(|name| (similarity(name), name)).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    let Some(&(best, _)) = scored.first().filter(|(similarity, _)| *similarity > SIMILAR) else { return Vec::new() };
    // All sections that have the name; else the one that is most similar.
    let is_near = |similarity: f64| if best > 1.0 { similarity > 1.0 } else { similarity >= best };
    scored.into_iter().filter(|(similarity, _)| is_near(*similarity)).take(SUGGESTED).map(|(_, name)| name).collect()
}

/// Returns what is given, each later value over the earlier ones: file, environment, options.
fn given(file: Option<&Path>, flags: &[(String, String)]) -> Result<Vec<Given>> {
    let mut given = Vec::new();
    if let Some(path) = file {
        if !path.is_file() {
            return Err(Error::invalid(format!("the configuration file {} does not exist", path.display())));
        }
        let table = File::from(path).format(FileFormat::Toml).collect().map_err(|e| {
            Error::invalid(format!("the configuration cannot be read: {}", redact_text(&e.to_string())))
        })?;
        let origin = Origin::File(path.display().to_string());
        flatten("", table.into_iter().collect(), &origin, &mut given);
    }
    let mut variables: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| name.to_uppercase().starts_with(&format!("{ENVIRONMENT_PREFIX}__")))
        .collect();
    variables.sort();
    for (name, value) in variables {
        let key =
            name.to_lowercase().replacen(&format!("{}__", ENVIRONMENT_PREFIX.to_lowercase()), "", 1).replace("__", ".");
        let value = if LISTS.contains(&key.as_str()) { list(&value).join(",") } else { value };
        let origin = Origin::Environment(name.clone());
        let environment = Environment::with_prefix(ENVIRONMENT_PREFIX)
            .prefix_separator("__")
            .separator("__")
            .try_parsing(true)
            .list_separator(",")
            .source(Some([(name, value)].into()));
        let environment = LISTS.iter().fold(environment, |source, list| source.with_list_parse_key(list));
        let table = environment
            .collect()
            .map_err(|e| Error::invalid(format!("{}: {}", origin.shown(), redact_text(&e.to_string()))))?;
        flatten("", table.into_iter().collect(), &origin, &mut given);
    }
    for (key, value) in flags {
        let value: Value = match LISTS.contains(&key.as_str()) {
            true => list(value).into(),
            false => value.as_str().into(),
        };
        given.push(Given { key: key.clone(), value, origin: Origin::Option });
    }
    Ok(given)
}

/// The values of a list, separated by commas or written as TOML does, which is how lists are
/// printed.
fn list(text: &str) -> Vec<String> {
    let written = text.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let words = written.split(',').map(|word| word.trim().trim_matches(['"', '\'']));
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Adds the values of a table and its sections, in order of key.
fn flatten(prefix: &str, mut table: Vec<(String, Value)>, origin: &Origin, given: &mut Vec<Given>) {
    table.sort_by(|a, b| a.0.cmp(&b.0));
    for (name, value) in table {
        let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        match value.kind {
            ValueKind::Table(inner) => flatten(&key, inner.into_iter().collect(), origin, given),
            _ => given.push(Given { key, value, origin: origin.clone() }),
        }
    }
}

/// Refuses variables that look like settings and would not be read: with one underscore after
/// `JHALAK` in place of two.
fn check_environment(names: impl Iterator<Item = String>) -> Result<()> {
    const SECTIONS: [&str; 15] = [
        "STORE",
        "QUEUE",
        "S3",
        "RABBITMQ",
        "COORDINATOR",
        "WORKER",
        "MODELS",
        "INFERENCE",
        "EXTRACT",
        "DECODE",
        "DATASET",
        "EVALUATE",
        "SOURCES",
        "REPORT",
        "TELEMETRY",
    ];
    for name in names {
        let Some(rest) = name.strip_prefix("JHALAK_").filter(|rest| !rest.starts_with('_')) else { continue };
        let section = SECTIONS
            .iter()
            .find(|section| rest.strip_prefix(**section).is_some_and(|r| r.is_empty() || r.starts_with('_')));
        if let Some(section) = section {
            let key = rest[section.len()..].trim_start_matches('_');
            let separator = match (key.is_empty(), *section) {
                (true, _) => "",
                (false, "STORE" | "QUEUE") => "_",
                (false, _) => "__",
            };
            return Err(Error::invalid(format!(
                "the environment variable {name} is not read: settings have two underscores, JHALAK__{section}{separator}{key}"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_with_one_underscore_are_refused_with_the_right_name() {
        let check = |name: &str| check_environment([name.to_owned()].into_iter());
        for name in ["JHALAK__STORE", "JHALAK_CONFIG", "JHALAK_SLOT", "JHALAK_STOREROOM", "JHALAK_CACHE", "PATH"] {
            assert!(check(name).is_ok(), "{name}");
        }
        for (name, right) in [("JHALAK_STORE", "JHALAK__STORE"), ("JHALAK_DECODE_WALL_S", "JHALAK__DECODE__WALL_S")] {
            let refused = check(name).expect_err(name).to_string();
            assert!(refused.contains(name) && refused.ends_with(right), "{refused}");
        }
    }

    #[test]
    fn faults_name_their_origin_and_the_way_out() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("jhalak.toml");
        let load = |text: &str, flags: &[(&str, &str)]| {
            std::fs::write(&file, text).expect("room on disk");
            let flags: Vec<_> = flags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            Settings::load(Some(&file), &flags).map_err(|e| e.chain())
        };
        let settings = load("[evaluate]\nfolds = 3", &[("worker.sources", "s3://a,s3://b")]).expect("valid");
        assert_eq!((settings.evaluate.folds, settings.worker.sources.len()), (3, 2));
        let settings = load("", &[("worker.sources", "[\"s3://a\", \"s3://b\"]")]).expect("as it is printed");
        assert_eq!(settings.worker.sources, ["s3://a", "s3://b"]);
        for key in ["decode.cpu_s", "decode.wall_s", "decode.output_mb"] {
            assert!(load("", &[(key, "0")]).expect_err(key).contains(&format!("{key} is out of range")));
        }
        let name = file.display().to_string();
        for (text, flags, parts) in [
            (
                "[evaluate]\nfold = 3",
                &[][..],
                &[name.as_str(), "`evaluate.fold`", "did you mean `evaluate.folds`?"][..],
            ),
            ("stor = 'x'", &[], &[&name, "`stor`", "`store`"]),
            ("", &[("train.epochs", "3")], &["`train.epochs`", "did you mean `evaluate.epochs`?"]),
            ("", &[("epochs", "3")], &["did you mean `evaluate.epochs`?"]),
            ("", &[("training.epoch", "3")], &["did you mean `evaluate.epochs`?"]),
            ("", &[("Evaluate.Ensemble-Ratings", "3")], &["did you mean `evaluate.ensemble_ratings`?"]),
            ("", &[("extract.jpeg_qualty", "3")], &["did you mean `extract.jpeg_quality`?"]),
            ("", &[("zzz", "1")], &["command line", "`zzz`", "`jhalak settings` lists all"]),
            ("[extract]\nstrategy = 'foo'", &[], &[&name, "`extract.strategy`", "equal-interval"]),
            (
                "",
                &[("evaluate.folds", "two")],
                &["command line", "`evaluate.folds`", "`jhalak settings evaluate.folds`"],
            ),
            ("evaluate = 3", &[], &[&name, "`evaluate`"]),
            ("", &[("extract.jpeg_quality", "300")], &["`extract.jpeg_quality`", "whole number from 1 to 100"]),
            ("", &[("evaluate.folds", "-3")], &["`evaluate.folds`", "whole number of 0 or more"]),
            ("", &[("report.measures", "ranking,coldstart")], &["`report.measures`", "ranking, cold-start, ablation"]),
        ] {
            let error = load(text, flags).expect_err(text);
            assert!(parts.iter().all(|part| error.contains(part)), "{text} {flags:?}: {error}");
            assert!(!error.contains("two") && !error.contains("foo"), "a value may be a secret: {error}");
        }
    }
}
