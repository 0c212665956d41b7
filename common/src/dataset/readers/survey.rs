//! Decides the scale of ratings by the values of the whole column.

use super::scale::{Scale, number};
use super::settings::ReadSettings;
use crate::dataset::normal_form::Label;
use crate::error::{Error, Result};

/// The scale that the header or the layout states for a column of ratings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    /// Nothing but `rating`: stars, labels or points.
    Rating,
    /// Labels: `label`, `feedback`, `class`.
    Labels,
    /// Stars: a file of MovieLens with a fixed form.
    Stars,
}

/// How the ratings of a dataset were read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decided {
    pub scale: Scale,
    pub decimal_comma: bool,
}

/// The values of a column, counted by range.
#[derive(Debug, Default)]
pub(super) struct Survey {
    words: u64,
    minus_one: u64,
    zero: u64,
    one: u64,
    other_negative: u64,
    /// Above 0 and up to 4, without 1.
    to_4: u64,
    to_5: u64,
    to_10: u64,
    to_100: u64,
    above_100: u64,
    highest: f64,
    lowest: f64,
}

impl Survey {
    /// Counts a value.
    pub fn add(&mut self, text: &str, decimal_comma: bool) {
        let Some(value) = number(text, decimal_comma) else {
            self.words += u64::from(Label::from_file_value(text).is_some());
            return;
        };
        self.highest = self.highest.max(value);
        self.lowest = self.lowest.min(value);
        let count = match value {
            -1.0 => &mut self.minus_one,
            0.0 => &mut self.zero,
            1.0 => &mut self.one,
            ..0.0 => &mut self.other_negative,
            ..=4.0 => &mut self.to_4,
            ..=5.0 => &mut self.to_5,
            ..=10.0 => &mut self.to_10,
            ..=100.0 => &mut self.to_100,
            _ => &mut self.above_100,
        };
        *count += 1;
    }

    /// Returns the scale of the column.
    ///
    /// # Errors
    /// Invalid input, with the setting that decides, if the values fit several scales or none.
    pub fn decide(&self, file: &str, column: &str, says: Says, settings: &ReadSettings) -> Result<Scale> {
        if let Some(scale) = settings.scale {
            return Ok(scale);
        }
        let labels = self.words + self.minus_one + self.zero + self.one;
        let numbers = self.to_4 + self.to_5 + self.to_10 + self.to_100 + self.above_100 + self.other_negative;
        let all = labels + numbers;
        // A single value or one in twenty is an error in the file, not evidence of a scale.
        let few = |count: u64| count <= 1 || count * 20 <= all;
        // A fifth of the values lies in the upper half of a scale that is in use.
        let many = |count: u64| count * 5 >= all;
        let refuse = |what: String, way_out: &str| {
            Err(Error::invalid(format!("{file}: {what} in the column {column}: set dataset.scale to {way_out}")))
        };
        let highest = self.highest;
        if all == 0 {
            return Ok(if says == Says::Stars { Scale::Stars } else { Scale::Labels });
        }
        let has_labels = self.minus_one > 0 || self.words > 0;
        if has_labels && (few(numbers) || self.words * 2 > all) {
            return Ok(Scale::Labels);
        }
        if !few(self.other_negative) {
            let range = format!("\"{}-{highest}\", the lowest and the highest value", self.lowest);
            return refuse(format!("values from {} to {highest}", self.lowest), &range);
        }
        if numbers == 0 || (few(numbers) && self.to_5 + self.to_4 < numbers) {
            return self.zeros_and_ones(says, refuse);
        }
        let beyond_10 = self.to_100 + self.above_100;
        if !few(self.above_100) {
            return refuse(format!("values up to {highest}"), "the lowest and the highest value, such as \"1-1000\"");
        }
        if !few(beyond_10) {
            if !few(self.zero) {
                return self.zeros(all, "100", refuse);
            }
            // A scale whose upper fifth no one uses is another one: 10 to 50, 0 to 20.
            if highest <= 80.0 {
                let range = format!("\"0-{highest}\", \"0-100\", or the lowest and the highest value that it has");
                return refuse(format!("no value is above {highest}"), &range);
            }
            if many(beyond_10) {
                return Ok(Scale::Points { low: 0.0, high: 100.0 });
            }
            let what = format!("{beyond_10} of {all} values above 10");
            return refuse(what, "\"0-100\" if it goes up to 100, or to \"1-10\" or \"stars\" to leave them out");
        }
        let beyond_5 = self.to_10 + beyond_10;
        if !few(beyond_5) {
            if !many(beyond_5) {
                let what = format!("{beyond_5} of {all} values above 5");
                return refuse(what, "\"1-10\" if it goes up to 10, or to \"stars\" to leave them out");
            }
            if !few(self.zero) {
                return self.zeros(all, "10", refuse);
            }
            if highest <= 8.0 {
                let range = format!("\"1-{highest}\", \"1-10\", or the lowest and the highest value that it has");
                return refuse(format!("no value is above {highest}"), &range);
            }
            return Ok(Scale::Points { low: 1.0, high: 10.0 });
        }
        if !few(self.zero) {
            return self.zeros(all, &format!("{}", highest.ceil()), refuse);
        }
        if self.to_5 > 0 || says == Says::Stars {
            return Ok(Scale::Stars);
        }
        let top = if highest > 5.0 { 4.0 } else { highest };
        let low = if top <= 1.0 { 0 } else { 1 };
        let range = format!(
            "\"stars\" if it goes up to 5, or to the lowest and the highest value, such as \"{low}-{}\"",
            top.ceil()
        );
        refuse(format!("no value is above {top}"), &range)
    }

    /// Refuses a column with many zeros, given the highest mark.
    fn zeros(&self, all: u64, highest: &str, refuse: impl Fn(String, &str) -> Result<Scale>) -> Result<Scale> {
        let what = format!("{} of {all} values are 0, the lowest mark or no rating,", self.zero);
        refuse(what, &format!("\"0-{highest}\" if 0 is a mark, or remove these rows"))
    }

    /// Decides over values that are all 0 or 1.
    fn zeros_and_ones(&self, says: Says, refuse: impl Fn(String, &str) -> Result<Scale>) -> Result<Scale> {
        let ways = "\"labels\" (0 is neutral, 1 like) or \"binary\" (0 is dislike, 1 like)";
        match (self.zero > 0, self.one > 0) {
            (true, true) => refuse("all values are 0 or 1".to_owned(), ways),
            // One class: there is nothing to learn, whatever it means.
            (_, _) if says == Says::Labels => Ok(Scale::Labels),
            (true, false) => refuse("all values are 0".to_owned(), ways),
            _ => refuse("all values are 1".to_owned(), "\"labels\" (1 is like) or \"stars\" (1 is the lowest)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(values: &str, says: Says) -> Result<String, String> {
        let mut survey = Survey::default();
        values.split_whitespace().for_each(|value| survey.add(value, true));
        let scale = survey.decide("ratings.csv", "rating", says, &ReadSettings::default());
        scale.map(|scale| scale.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_values_of_the_whole_column_decide() {
        let times = |text: &str, count: usize| text.repeat(count);
        for (values, scale) in [
            ("1 0 -1 1 1 0", "labels"),
            ("1.0 -1.0", "labels"),
            ("like dislike neutral", "labels"),
            ("like dislike", "labels"),
            ("1 2 3 4 5", "stars"),
            ("0.5 4,5 3.5", "stars"),
            ("1 2 3 4 5 7", "stars"),
            (&(times("1 2 3 4 5 ", 20) + "-1 7 NaN x"), "stars"),
            ("3 5 7 8 9", "1-10"),
            ("10 1 8 6", "1-10"),
            ("3.7 8.1 9.9", "1-10"),
            ("20 55 90 100", "0-100"),
        ] {
            for says in [Says::Rating, Says::Labels] {
                assert_eq!(decide(values, says).as_deref(), Ok(scale), "{values}");
            }
        }
        assert_eq!(decide("1 2 3", Says::Stars).as_deref(), Ok("stars"));
        assert_eq!(decide("1 1 1", Says::Labels).as_deref(), Ok("labels"));
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused_with_the_setting() {
        let half_zero = "0 0 0 0 7 8 9 10";
        let some_above_5 = "1 2 3 4 5 1 2 3 4 5 1 2 3 4 5 1 2 3 8 9 10";
        for (values, reported) in [
            ("0 1 1 0", "binary"),
            ("1 1 1", "stars"),
            ("1 2 3", "1-3"),
            ("0.5 4.0", "no value is above 4"),
            (half_zero, "0-10"),
            (some_above_5, "3 of 21 values above 5"),
            ("0 1 2 3 4 5 0 1 2 3", "0-5"),
            ("-10 -3 7 10", "-10-10"),
            ("100 900 500", "1-1000"),
            ("0.1 0.9 0.5", "\"0-1\""),
            ("1 2 3 4 5 6 7", "1-7"),
            ("10 20 30 40 50", "0-50"),
            ("0 0 50 90 100", "0-100"),
            ("0 1 2 3 4 0 1 2", "0-4"),
        ] {
            let error = decide(values, Says::Rating).expect_err(values);
            assert!(error.contains("dataset.scale") && error.contains(reported), "{values}: {error}");
        }
    }
}
