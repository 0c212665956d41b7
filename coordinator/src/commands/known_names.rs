//! Users and movies by the names that people type: an id, or a title that only one movie has. What
//! is not known gets the most similar names.

use jhalak_common::dataset::{Dataset, Movie, composed};
use jhalak_common::{Error, Result};

/// Suggestions for an id that is not known.
const SUGGESTED: usize = 3;

/// Returns the index of a user. `list`: the options of `jhalak users` that list this dataset, for the
/// message.
pub(super) fn user(dataset: &Dataset, id: &str, list: &str) -> Result<u32> {
    if let Some(index) = dataset.find_user(id) {
        return Ok(index as u32);
    }
    let near = nearest(id, dataset.users.iter().map(|user| (user.id.as_str(), user.id.clone())));
    Err(Error::invalid(format!(
        "no user `{id}` in the dataset {}{near}; `jhalak users {list}` lists them, and --like, --neutral and --dislike \
         describe a new viewer",
        dataset.name
    )))
}

/// Returns the indices of the movies in a list, by id or by a title that only one movie has. New
/// movies follow those of the dataset. A title may contain a comma: the whole text is tried first.
pub(super) fn listed(dataset: &Dataset, new: &[Movie], names: &str, list: &str) -> Result<Vec<u32>> {
    let find = |word: &str| find_movie(&dataset.movies, new, word, list);
    match find(names) {
        Ok(index) => Ok(vec![index]),
        Err(error) if !names.contains(',') => Err(error),
        Err(_) => names.split(',').filter(|word| !word.trim().is_empty()).map(find).collect(),
    }
}

/// Returns the index of a movie, by id or by a title that only one movie has. New movies follow the
/// known ones. `list`: the options of `jhalak movies` that list them, for the message.
pub(in crate::commands) fn find_movie(known: &[Movie], new: &[Movie], word: &str, list: &str) -> Result<u32> {
    let all = || known.iter().chain(new);
    let index = |movie: &Movie| all().position(|other| std::ptr::eq(other, movie)).unwrap_or(0) as u32;
    let word = word.trim();
    let whole = word.strip_suffix(".0").filter(|number| number.bytes().all(|c| c.is_ascii_digit()));
    let by_id = |id: &str| all().find(|movie| movie.id == id);
    // Keyboards and file systems write an accent in two ways.
    let by_form = || {
        let mut alike = all().filter(|movie| composed(&movie.id) == composed(word));
        alike.next().filter(|_| alike.next().is_none())
    };
    if let Some(found) = by_id(word).or_else(|| by_id(whole?)).or_else(by_form) {
        return Ok(index(found));
    }
    let form = |text: &str| composed(text).to_lowercase();
    let title = form(word);
    let mut named: Vec<&Movie> = all().filter(|movie| form(&movie.name) == title).collect();
    // A catalogue may keep the year apart: "Chasing Amy (1997)".
    if let Some((name, year)) = title.strip_suffix(')').and_then(|t| t.rsplit_once('(')).filter(|_| named.is_empty())
        && let Ok(year) = year.trim().parse::<i32>()
    {
        named = all().filter(|movie| movie.year == Some(year) && form(&movie.name) == name.trim()).collect();
    }
    match named.as_slice() {
        [one] => Ok(index(one)),
        [] => {
            let named = |movie: &Movie| format!("{} ({})", movie.id, movie.name);
            let ids = all().map(|movie| (movie.id.as_str(), named(movie)));
            let titles = all().map(|movie| (movie.name.as_str(), named(movie)));
            Err(Error::invalid(format!(
                "no movie `{word}` in the dataset{}; `jhalak movies {list}` lists them",
                nearest(word, ids.chain(titles))
            )))
        }
        several => {
            let year = |movie: &Movie| movie.year.map_or_else(String::new, |year| format!(" ({year})"));
            let ids: Vec<String> = several.iter().map(|movie| format!("{}{}", movie.id, year(movie))).collect();
            Err(Error::invalid(format!("several movies have the title `{word}`: name one of {}", ids.join(", "))))
        }
    }
}

/// Returns `; did you mean a, b or c?` with the most similar candidates, or nothing.
fn nearest<'a>(word: &str, candidates: impl Iterator<Item = (&'a str, String)>) -> String {
    let word = word.trim().to_lowercase();
    let similarity = |text: &str| {
        let text = text.to_lowercase();
        let contained = word.len() > 2 && text.contains(&word);
        strsim::jaro_winkler(&word, &text) + if contained { 0.5 } else { 0.0 }
    };
    let mut scored: Vec<(f64, String)> = candidates.map(|(text, shown)| (similarity(text), shown)).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let mut shown: Vec<String> = Vec::new();
    for (similarity, candidate) in scored {
        if shown.len() < SUGGESTED && similarity > 0.6 && !shown.contains(&candidate) {
            shown.push(candidate);
        }
    }
    match shown.split_last() {
        None => String::new(),
        Some((last, [])) => format!("; did you mean {last}"),
        Some((last, rest)) => format!("; did you mean {} or {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn movies(names: &[(&str, &str)]) -> Vec<Movie> {
        let movie = |(id, name): &(&str, &str)| Movie { id: (*id).into(), name: (*name).into(), ..Movie::default() };
        names.iter().map(movie).collect()
    }

    #[test]
    fn movies_are_found_by_id_or_by_a_title_that_only_one_has() {
        let known = movies(&[("tt1", "Amélie"), ("tt2", "Don, the Chase"), ("tt3", "Twin"), ("tt4", "Twin")]);
        let new = movies(&[("x9", "Later")]);
        let find = |word: &str| find_movie(&known, &new, word, "--run r");
        assert_eq!(find("tt2").expect("an id"), 1);
        assert_eq!(find("amélie").expect("a title in any case"), 0);
        assert_eq!(find("ame\u{301}lie").expect("an accent of its own"), 0);
        let decomposed = movies(&[("ame\u{301}lie", "A")]);
        assert_eq!(find_movie(&decomposed, &[], "amélie", "").expect("an id in the other form"), 0);
        assert_eq!(find("don, the chase").expect("with a comma"), 1);
        assert_eq!(find("Later").expect("a new one"), 4);
        assert!(find("Twin").expect_err("two").to_string().contains("tt3, tt4"));
        let mut years = movies(&[("a", "Chasing Amy"), ("b", "Chasing Amy"), ("c", "Postino, Il")]);
        (years[0].year, years[1].year) = (Some(1995), Some(1997));
        assert_eq!(find_movie(&years, &[], "Chasing Amy (1997)", "").expect("the year decides"), 1);
        assert!(
            find_movie(&years, &[], "Chasing Amy", "").expect_err("two").to_string().contains("a (1995), b (1997)")
        );
        let error = find("Ameli").expect_err("none").to_string();
        assert!(error.contains("did you mean tt1 (Amélie)"), "{error}");
        assert!(find("zzzzzzzz").expect_err("none").to_string().contains("`jhalak movies --run r` lists them"));
    }

    #[test]
    fn unknown_viewer_gets_near_ids() {
        let near = nearest("u0012x", ["u0012", "u0013", "bob"].into_iter().map(|id| (id, id.to_owned())));
        assert!(near.starts_with("; did you mean u0012 or u0013"), "{near}");
        assert_eq!(nearest("q", ["bob"].into_iter().map(|id| (id, id.to_owned()))), "");
    }
}
