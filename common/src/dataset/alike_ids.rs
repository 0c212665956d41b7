//! Ids that look the same and are not: Unicode writes `é` as one letter (form NFC) or as a letter
//! with an accent (form NFD).

use std::collections::HashMap;

use super::normal_form::Dataset;
use super::readers::movie_ids::composed;

/// The most pairs that are named.
const LISTED: usize = 5;

/// Returns a line for users and one for movies if two of their ids are equal in the form NFC, with
/// the way out.
#[must_use]
pub fn alike_ids(dataset: &Dataset) -> Vec<String> {
    let users: Vec<&str> = dataset.users.iter().map(|user| user.id.as_str()).filter(|id| !id.is_ascii()).collect();
    let movies: Vec<String> = dataset.movies.scan().filter(|m| !m.id.is_ascii()).map(|m| m.id.clone()).collect();
    let users = line("users", &users, |id| dataset.find_user(id).is_some());
    let movies: Vec<&str> = movies.iter().map(String::as_str).collect();
    users.into_iter().chain(line("movies", &movies, |id| dataset.movie_index(id).is_some())).collect()
}

/// `ids`: those that are not ASCII, in ascending order.
fn line(what: &str, ids: &[&str], is_id: impl Fn(&str) -> bool) -> Option<String> {
    let mut first: HashMap<String, &str> = HashMap::new();
    let mut pairs = Vec::new();
    for &id in ids {
        let form = composed(id).into_owned();
        // A few letters are composed to ASCII, such as the sign of Kelvin.
        let ascii = (form != id && form.is_ascii() && is_id(&form)).then(|| form.clone());
        match (ascii, first.get(&form)) {
            (Some(other), _) => pairs.push(format!("{} and {}", shown(&other), shown(id))),
            (None, Some(other)) => pairs.push(format!("{} and {}", shown(other), shown(id))),
            (None, None) => drop(first.insert(form, id)),
        }
    }
    let more = if pairs.len() > LISTED { format!(" and {} more", pairs.len() - LISTED) } else { String::new() };
    (!pairs.is_empty()).then(|| {
        format!(
            "{what}: ids that look the same are different {what}: {}{more}. Write every id in one Unicode form, such as NFC \
             (unicodedata.normalize(\"NFC\", id) in Python)",
            pairs[..pairs.len().min(LISTED)].join("; ")
        )
    })
}

/// Returns the id with letters beyond ASCII as code points, which tell the forms apart.
fn shown(id: &str) -> String {
    id.chars()
        .map(|c| if c.is_ascii_graphic() || c == ' ' { c.to_string() } else { c.escape_unicode().to_string() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{Movie, User};

    #[test]
    fn ids_that_are_equal_in_one_form_are_named() {
        let user = |id: &str| User { id: id.into(), ..User::default() };
        let movie = |id: &str| Movie { id: id.into(), ..Movie::default() };
        let of = |users: &[&str], movies: &[&str]| {
            alike_ids(&Dataset {
                name: "d".into(),
                synthetic: true,
                movies: movies.iter().map(|id| movie(id)).collect(),
                users: users.iter().map(|id| user(id)).collect(),
                ratings: Vec::new(),
                times: Vec::new(),
                genres: Vec::new(),
            })
        };
        assert!(of(&["Rene", "Rene\u{301}", "a"], &["m", "\u{e9}"]).is_empty());
        let found = of(&["K", "Rene\u{301}", "Ren\u{e9}", "\u{212a}"], &["m"]);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("users: ") && found[0].contains("Rene\\u{301} and Ren\\u{e9}; K and \\u{212a}."));
        assert!(of(&[], &["e\u{301}", "\u{e9}"])[0].starts_with("movies: "));
    }
}
