//! The optional `users.csv`: an id and any further columns.

use std::collections::BTreeMap;

use super::assembly::Assembly;
use super::csv_table::{Format, Table};
use super::files::Files;
use crate::dataset::whole_number::whole;
use crate::error::Result;

pub(super) const FILE: &str = "users.csv";

/// Names of the id column.
pub(super) const ID: [&str; 5] = ["user_id", "userid", "_id", "user", "id"];

/// Reads the attributes of users, if the file exists. A JSON list of texts in a cell is joined with
/// `, `.
pub(super) fn read(files: &dyn Files, assembly: &mut Assembly) -> Result<()> {
    if !files.has(FILE) {
        return Ok(());
    }
    let mut table = Table::open(FILE, files.open(FILE)?, Format::CSV)?;
    let id = table.required(&ID)?;
    let header = table.header().to_vec();
    // The row numbers of a data frame do not describe a viewer.
    let is_index = |name: &str| name.is_empty() || name.starts_with("unnamed:");
    let attribute = |(column, name): &(usize, &String)| *column != id && !is_index(name);
    while let Some(row) = table.next(&mut assembly.rejects)? {
        let mut attributes = BTreeMap::new();
        for (column, name) in header.iter().enumerate().filter(attribute) {
            let cell = row.cell(Some(column));
            let list = if cell.starts_with('[') { serde_json::from_str::<Vec<String>>(cell).ok() } else { None };
            let value = list.map_or_else(|| cell.to_owned(), |list| list.join(", "));
            if !value.is_empty() {
                attributes.insert(name.clone(), value);
            }
        }
        assembly.user_row(FILE, row.line, whole(row.cell(Some(id))), attributes)?;
    }
    Ok(())
}
