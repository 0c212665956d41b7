//! The scale of ratings: how a value in a file becomes a label.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::reject::excerpt;
use crate::dataset::normal_form::Label;

/// The scale of ratings. In settings: `labels`, `binary`, `stars`, or the lowest and the highest
/// value, such as `1-10`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Scale {
    /// -1, 0 and 1, or dislike, neutral and like.
    Labels,
    /// 0 and 1, or dislike and like: two classes.
    Binary,
    /// Above 0 and up to 5.
    Stars,
    /// From `low` to `high`.
    Points {
        /// The lowest value.
        low: f64,
        /// The highest value.
        high: f64,
    },
}

/// The stars that part the classes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Thresholds {
    /// At most this many are a dislike.
    pub dislike_at_most: f64,
    /// At least this many are a like.
    pub like_at_least: f64,
}

impl Thresholds {
    /// Returns the label for a number of stars.
    fn label(&self, stars: f64) -> Label {
        // 0.3 is 3 of 10 times 0.1: a threshold holds whatever the rounding of a scale.
        const ROUNDING: f64 = 1e-9;
        if stars <= self.dislike_at_most + ROUNDING {
            Label::Dislike
        } else if stars >= self.like_at_least - ROUNDING {
            Label::Like
        } else {
            Label::Neutral
        }
    }
}

/// The meaning of a value in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Opinion {
    /// Its class.
    pub label: Label,
    /// Half stars, from 0 to 10; `None` on a scale of labels.
    pub half_stars: Option<u8>,
}

impl Scale {
    /// Returns the label and the half stars of a value in a file.
    ///
    /// # Errors
    /// As [`Scale::label`].
    pub(super) fn opinion(self, text: &str, decimal_comma: bool, thresholds: &Thresholds) -> Result<Opinion, String> {
        let label = self.label(text, decimal_comma, thresholds)?;
        let value = number(text, decimal_comma).filter(|_| !matches!(self, Scale::Labels | Scale::Binary));
        let (base, star) = self.stars();
        let half_stars = value.map(|value| (2.0 * (value - base) / star).round().clamp(0.0, 10.0) as u8);
        Ok(Opinion { label, half_stars })
    }

    /// Returns the label of a value in a file. With `decimal_comma`, `4,5` is a number.
    ///
    /// # Errors
    /// A reason if the value is not on the scale.
    fn label(self, text: &str, decimal_comma: bool, thresholds: &Thresholds) -> Result<Label, String> {
        if self == Scale::Labels {
            let by_number = || match number(text, decimal_comma)? {
                -1.0 => Some(Label::Dislike),
                0.0 => Some(Label::Neutral),
                1.0 => Some(Label::Like),
                _ => None,
            };
            return Label::from_file_value(text)
                .or_else(by_number)
                .ok_or_else(|| format!("the label is not -1, 0, 1, dislike, neutral or like: {}", excerpt(text)));
        }
        let word = Label::ALL.into_iter().find(|label| label.name().eq_ignore_ascii_case(text));
        if let (Scale::Binary, Some(word @ (Label::Dislike | Label::Like))) = (self, word) {
            return Ok(word);
        }
        let value = number(text, decimal_comma).unwrap_or(f64::NAN);
        let refused = |expected: String| Err(format!("not {expected}: {}", excerpt(text)));
        match self {
            Scale::Binary if value == 0.0 => Ok(Label::Dislike),
            Scale::Binary if value == 1.0 => Ok(Label::Like),
            Scale::Labels | Scale::Binary => refused("0, 1, dislike or like".to_owned()),
            // NaN fails the comparisons and is refused with the rest.
            Scale::Stars if value > 0.0 && value <= 5.0 => Ok(thresholds.label(value)),
            Scale::Stars => refused("a rating above 0 and up to 5 stars".to_owned()),
            Scale::Points { low, high } if value >= low && value <= high => {
                let (base, star) = self.stars();
                Ok(thresholds.label((value - base) / star))
            }
            Scale::Points { low, high } => refused(format!("a rating from {low} to {high}")),
        }
    }

    /// Returns the value of zero stars, and of one more star.
    fn stars(self) -> (f64, f64) {
        match self {
            Scale::Points { low, high } => {
                let base = low.min(0.0);
                (base, (high - base) / 5.0)
            }
            _ => (0.0, 1.0),
        }
    }

    /// Returns the scale and how it becomes three classes, for people.
    pub(super) fn describe(self, thresholds: &Thresholds) -> String {
        let name = match self {
            Scale::Labels => return "labels: -1 is dislike, 0 neutral, 1 like".to_owned(),
            Scale::Binary => return "two classes: 0 is dislike, 1 like".to_owned(),
            Scale::Stars => "stars".to_owned(),
            Scale::Points { low, high } => format!("points from {low} to {high}"),
        };
        let (base, star) = self.stars();
        // Rounded, so that 0.1 + 0.2 is shown as 0.3.
        let at = |stars: f64| ((base + stars * star) * 1e6).round() / 1e6;
        let (dislike, like) = (at(thresholds.dislike_at_most), at(thresholds.like_at_least));
        format!("{name}: at most {dislike} is dislike, at least {like} is like, others neutral")
    }
}

/// Parses a finite number.
pub(super) fn number(text: &str, decimal_comma: bool) -> Option<f64> {
    let parse = |text: &str| text.parse().ok().filter(|value: &f64| value.is_finite());
    parse(text).or_else(|| if decimal_comma { parse(&text.replacen(',', ".", 1)) } else { None })
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scale::Labels => f.write_str("labels"),
            Scale::Binary => f.write_str("binary"),
            Scale::Stars => f.write_str("stars"),
            Scale::Points { low, high } => write!(f, "{low}-{high}"),
        }
    }
}

impl From<Scale> for String {
    fn from(scale: Scale) -> String {
        scale.to_string()
    }
}

impl FromStr for Scale {
    type Err = String;

    fn from_str(text: &str) -> Result<Scale, String> {
        let text = text.trim();
        let wrong = || {
            format!(
                "{} is not a scale: use labels (-1, 0, 1), binary (0, 1), stars (up to 5), or the lowest and the \
                 highest value as in 1-10",
                excerpt(text)
            )
        };
        match text {
            "labels" => return Ok(Scale::Labels),
            "binary" => return Ok(Scale::Binary),
            "stars" => return Ok(Scale::Stars),
            _ => {}
        }
        // The first hyphen may be the sign of the lowest value.
        let from = text.len().min(1);
        let hyphen = text.get(from..).and_then(|rest| rest.find('-')).ok_or_else(wrong)? + from;
        let value = |part: &str| number(part.trim(), false);
        match (value(&text[..hyphen]), value(&text[hyphen + 1..])) {
            // Of two values, none would be neutral and the lower one would not be a dislike.
            (Some(low), Some(high)) if low > 0.0 && high - low <= 1.0 => {
                Err(format!("{} has two values: write 0 and 1 (or dislike and like) and use binary", excerpt(text)))
            }
            (Some(low), Some(high)) if low < high => Ok(Scale::Points { low, high }),
            _ => Err(wrong()),
        }
    }
}

impl TryFrom<String> for Scale {
    type Error = String;

    fn try_from(text: String) -> Result<Scale, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_hold_for_every_scale() {
        let label = |scale: &str, value: &str| {
            let scale: Scale = scale.parse().expect("a scale");
            assert_eq!(scale.to_string().parse(), Ok(scale));
            scale.label(value, true, &Thresholds { dislike_at_most: 2.0, like_at_least: 4.0 }).ok().map(Label::index)
        };
        for (scale, classes) in [
            ("labels", [("-1", Some(0)), ("0", Some(1)), ("like", Some(2)), ("2", None)]),
            ("binary", [("0", Some(0)), ("1.0", Some(2)), ("Dislike", Some(0)), ("neutral", None)]),
            ("stars", [("2", Some(0)), ("3,5", Some(1)), ("4.0", Some(2)), ("0", None)]),
            ("1-10", [("4", Some(0)), ("7", Some(1)), ("8", Some(2)), ("11", None)]),
            ("0-100", [("0", Some(0)), ("41", Some(1)), ("80", Some(2)), ("NaN", None)]),
            ("1-3", [("1", Some(0)), ("2", Some(1)), ("3", Some(2)), ("4", None)]),
            ("-10-10", [("-2", Some(0)), ("0", Some(1)), ("6", Some(2)), ("-11", None)]),
        ] {
            for (value, class) in classes {
                assert_eq!(label(scale, value), class, "{value} of {scale}");
            }
        }
        let half_stars = |scale: &str, value: &str| {
            let thresholds = Thresholds { dislike_at_most: 2.0, like_at_least: 4.0 };
            scale.parse::<Scale>().expect("a scale").opinion(value, true, &thresholds).expect("on the scale").half_stars
        };
        for (scale, value, expected) in [
            ("stars", "3,5", Some(7)),
            ("stars", "0.5", Some(1)),
            ("1-10", "7", Some(7)),
            ("0-100", "41", Some(4)),
            ("-10-10", "10", Some(10)),
            ("labels", "1", None),
            ("binary", "like", None),
        ] {
            assert_eq!(half_stars(scale, value), expected, "{value} of {scale}");
        }
        for wrong in ["", "10", "10-1", "five", "1-", "-", "1-inf", "é-1"] {
            assert!(wrong.parse::<Scale>().is_err(), "{wrong}");
        }
    }
}
