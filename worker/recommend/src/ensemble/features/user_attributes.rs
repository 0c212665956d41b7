//! A user as numbers, from what the dataset says besides ratings.

use crate::features::standardise::Scale;
use jhalak_common::dataset::User;
use std::collections::BTreeMap;

/// Values of an attribute that get a column of their own: the commonest.
const VALUES: usize = 6;
/// Share of the fitted users that must have a value for it to get one.
const RARE: f64 = 0.02;
/// Share of an attribute's values that must be numbers for it to count as a number.
const NUMBERS: f64 = 0.95;

/// How users are turned into numbers.
#[derive(Debug)]
pub struct UserScheme {
    columns: Vec<Column>,
    scales: Vec<Scale>,
}

/// Every user.
#[derive(Debug)]
pub struct Attributes {
    /// Names of the columns.
    pub names: Vec<String>,
    /// users x columns, as they are, NaN where missing.
    raw: Vec<f32>,
    /// The same, standardised, 0 where missing.
    pub dense: Vec<f64>,
}

/// A column: a number as it is, or whether the attribute has this value.
#[derive(Debug)]
enum Column {
    Number(String),
    Value(String, String),
}

impl UserScheme {
    /// Learns columns and scales from the `fitted` users.
    pub fn learn(users: &[User], fitted: &[bool]) -> Self {
        let mut scheme = Self { columns: columns(users, fitted), scales: Vec::new() };
        let raw: Vec<f64> = scheme.raw(users).into_iter().map(f64::from).collect();
        scheme.scales = Scale::learn(&raw, scheme.columns.len(), fitted);
        scheme
    }

    /// Turns users into numbers, also such as nothing was learned from.
    pub fn describe(&self, users: &[User]) -> Attributes {
        let raw = self.raw(users);
        let mut dense: Vec<f64> = raw.iter().map(|&x| f64::from(x)).collect();
        Scale::apply(&self.scales, &mut dense);
        let name = |column: &Column| match column {
            Column::Number(name) => name.clone(),
            Column::Value(name, value) => format!("{name} {value}"),
        };
        Attributes { names: self.columns.iter().map(name).collect(), raw, dense }
    }

    fn raw(&self, users: &[User]) -> Vec<f32> {
        let cell = |user: &User, column: &Column| match column {
            Column::Number(name) => user.attributes.get(name).and_then(|v| number(v)).unwrap_or(f32::NAN),
            Column::Value(name, value) => f32::from(u8::from(user.attributes.get(name) == Some(value))),
        };
        users.iter().flat_map(|user| self.columns.iter().map(move |column| cell(user, column))).collect()
    }
}

impl Attributes {
    /// The user's columns as they are.
    pub fn raw(&self, user: usize) -> &[f32] {
        &self.raw[user * self.names.len()..(user + 1) * self.names.len()]
    }
}

fn number(value: &str) -> Option<f32> {
    value.trim().parse().ok().filter(|x: &f32| x.is_finite())
}

/// Numbers stay numbers; of texts the commonest values become columns, but for a value that everybody has.
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
