//! Natural order of names: `fold2` before `fold10`.

use std::cmp::Ordering;

/// Compares runs of digits as numbers and all other text character by character.
pub(super) fn order(a: &str, b: &str) -> Ordering {
    pieces(a).cmp(pieces(b)).then_with(|| a.cmp(b))
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Piece<'a> {
    /// The number of digits without leading zeros, then the digits.
    Number(usize, &'a str),
    Text(&'a str),
}

fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let digit = rest.chars().next()?.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != digit).unwrap_or(rest.len());
        let (piece, after) = rest.split_at(end);
        rest = after;
        let number = piece.trim_start_matches('0');
        Some(if digit { Piece::Number(number.len(), number) } else { Piece::Text(piece) })
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_in_names_are_compared_as_numbers() {
        let mut names = ["u10.test", "u2.test", "fold_1/test", "u1.test", "fold_02/test", "10", "9"];
        names.sort_by(|a, b| super::order(a, b));
        assert_eq!(names, ["9", "10", "fold_1/test", "fold_02/test", "u1.test", "u2.test", "u10.test"]);
    }
}
