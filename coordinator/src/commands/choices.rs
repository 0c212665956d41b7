//! Values of options that are one of a few names.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

/// Parses one of `all`, each by its name and with its line of help.
pub(super) fn one_of<T: Copy + Send + Sync + 'static, const N: usize>(
    all: [T; N],
    name: fn(T) -> &'static str,
    help: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(all.map(|one| PossibleValue::new(name(one)).help(help(one)))).try_map(move |given| {
        all.into_iter().find(|one| name(*one) == given).ok_or_else(|| format!("{given} is not one of the values"))
    })
}
