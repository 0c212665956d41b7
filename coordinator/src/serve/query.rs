//! The parts of an address: path segments, and options after `?`.

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::failure::Failure;

/// The options of an address. A value that cannot be read is a failure with its reason.
pub struct Options<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Options<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(options)) => Ok(Options(options)),
            Err(e) => Err(Failure::bad(format!("the options of the address are not valid: {}", e.body_text()))),
        }
    }
}

/// The segments of a path, each a name of 1 to 255 bytes that stays within its folder.
pub struct Names<T>(pub T);

impl<S: Send + Sync, const N: usize> FromRequestParts<S> for Names<[String; N]> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let invalid = || Failure::missing("there is no such page: an id in the address is not valid");
        let Path(names) = Path::<Vec<String>>::from_request_parts(parts, state).await.map_err(|_| invalid())?;
        let names: [String; N] = names.try_into().map_err(|_| invalid())?;
        match names.iter().all(|name| is_name(name)) {
            true => Ok(Names(names)),
            false => Err(invalid()),
        }
    }
}

fn is_name(name: &str) -> bool {
    !name.contains('/') && jhalak_common::store::check_key(&format!("x/{name}")).is_ok()
}

/// One page of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The page, from 1.
    pub page: u64,
    /// The number of pages, at least 1.
    pub pages: u64,
    /// The index of the first entry.
    pub start: usize,
    /// The index after the last entry.
    pub end: usize,
}

impl Window {
    /// Returns the window of `page` (from 1; the first by default) over `total` entries.
    ///
    /// # Errors
    /// 404 for a page beyond the last.
    pub fn of(page: Option<u64>, total: usize, size: usize) -> Result<Window, Failure> {
        let pages = (total.div_ceil(size) as u64).max(1);
        let page = page.unwrap_or(1);
        if page == 0 || page > pages {
            return Err(Failure::missing(format!("there is no page {page}: the list has {pages}")));
        }
        let start = (page as usize - 1) * size;
        Ok(Window { page, pages, start, end: (start + size).min(total) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_a_list_and_end_with_it() {
        let window = |page, total| Window::of(page, total, 10).map(|w| (w.pages, w.start, w.end)).ok();
        assert_eq!(window(None, 0), Some((1, 0, 0)));
        assert_eq!(window(Some(3), 25), Some((3, 20, 25)));
        assert_eq!(window(Some(2), 20), Some((2, 10, 20)));
        for page in [0, 3, u64::MAX] {
            assert_eq!(window(Some(page), 20), None, "{page}");
        }
    }

    #[test]
    fn names_stay_within_their_folder() {
        for name in ["..", ".", "", "a/b", "a\\b", "a\0b", "a\nb", &"x".repeat(256)] {
            assert!(!is_name(name), "{name:?}");
        }
        for name in ["tt0240200", "u@host", "a b", "Amélie (2001)", "..."] {
            assert!(is_name(name), "{name}");
        }
    }
}
