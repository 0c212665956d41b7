//! Encodes the attributes of users (age, job...) as numbers.

use crate::features::standardise::Scale;
use jhalak_common::dataset::User;
use std::collections::BTreeMap;

/// Maximum number of values of an attribute that get a column: the most common ones.
const VALUES: usize = 6;
/// Minimum share of the fitted users with a value for it to get a column.
const RARE: f64 = 0.02;
/// Minimum share of numbers among an attribute's values for it to count as a number.
const NUMBERS: f64 = 0.95;

/// The columns that users are encoded into.
#[derive(Debug)]
pub struct UserEncoder {
    columns: Vec<Column>,
    scales: Vec<Scale>,
}

/// The encoded users.
#[derive(Debug)]
pub struct UserAttributes {
    /// Names of the columns.
    pub names: Vec<String>,
    /// users x columns, unscaled; NaN where missing.
    raw: Vec<f32>,
    /// users x columns, standardised; 0 where missing.
    pub dense: Vec<f64>,
}

/// A column: the value of a numeric attribute, or whether an attribute has this value.
#[derive(Debug)]
enum Column {
    Number(String),
    Value(String, String),
}

impl UserEncoder {
    /// Learns columns and scales from the `fitted` users.
    pub fn learn(users: &[User], fitted: &[bool]) -> Self {
        let mut encoder = Self { columns: columns(users, fitted), scales: Vec::new() };
        let raw: Vec<f64> = encoder.raw(users).into_iter().map(f64::from).collect();
        encoder.scales = Scale::learn(&raw, encoder.columns.len(), fitted);
        encoder
    }

    /// Encodes users; they need not be those of [`UserEncoder::learn`].
    pub fn encode(&self, users: &[User]) -> UserAttributes {
        let raw = self.raw(users);
        let mut dense: Vec<f64> = raw.iter().map(|&x| f64::from(x)).collect();
        Scale::apply(&self.scales, &mut dense);
        let name = |column: &Column| match column {
            Column::Number(name) => name.clone(),
            Column::Value(name, value) => format!("{name} {value}"),
        };
        UserAttributes { names: self.columns.iter().map(name).collect(), raw, dense }
    }

    fn raw(&self, users: &[User]) -> Vec<f32> {
        let cell = |user: &User, column: &Column| match column {
            Column::Number(name) => user.attributes.get(name).and_then(|v| number(v)).unwrap_or(f32::NAN),
            Column::Value(name, value) => f32::from(u8::from(user.attributes.get(name) == Some(value))),
        };
        users.iter().flat_map(|user| self.columns.iter().map(move |column| cell(user, column))).collect()
    }
}

impl UserAttributes {
    /// Returns the user's unscaled columns.
    pub fn raw(&self, user: usize) -> &[f32] {
        &self.raw[user * self.names.len()..(user + 1) * self.names.len()]
    }
}

fn number(value: &str) -> Option<f32> {
    value.trim().parse().ok().filter(|x: &f32| x.is_finite())
}

/// Chooses the columns: a numeric attribute becomes one column, of others the most common values
/// become columns, except a value that all users have.
fn columns(users: &[User], fitted: &[bool]) -> Vec<Column> {
    let mut values: BTreeMap<&String, BTreeMap<&String, usize>> = BTreeMap::new();
    let mut all = 0;
    for (user, _) in users.iter().zip(fitted).filter(|(_, fitted)| **fitted) {
        all += 1;
        for (name, value) in &user.attributes {
            *values.entry(name).or_default().entry(value).or_default() += 1;
        }
    }
    let mut columns = Vec::new();
    for (name, values) in values {
        let count: usize = values.values().sum();
        let numbers: usize = values.iter().filter(|(value, _)| number(value).is_some()).map(|(_, n)| n).sum();
        if numbers as f64 >= NUMBERS * count as f64 {
            columns.push(Column::Number(name.clone()));
            continue;
        }
        let common = |n: usize| n >= 2 && n < all && n as f64 >= RARE * all as f64;
        let mut values: Vec<(&String, usize)> = values.into_iter().filter(|&(_, n)| common(n)).collect();
        values.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        columns.extend(values.into_iter().take(VALUES).map(|(value, _)| Column::Value(name.clone(), value.clone())));
    }
    columns
}
