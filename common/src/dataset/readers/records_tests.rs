//! Tests of splitting a file into records: quotes, delimiters, encodings, and faults.

use super::*;
use proptest::prelude::*;

fn all(text: &[u8], delimiter: Delimiter) -> (Vec<Vec<String>>, Vec<u64>) {
    let mut records = Records::new("x", Box::new(text), delimiter, true, Encoding::Utf8).expect("a file");
    let (mut rows, mut bad, mut record) = (Vec::new(), Vec::new(), Record::default());
    loop {
        match records.next(&mut record).expect("a table") {
            Next::End => return (rows, bad),
            Next::Bad(line, _) => bad.push(line),
            Next::Read => {
                rows.push((0..record.len()).map(|i| record.get(i).expect("a cell").to_owned()).collect());
            }
        }
    }
}

#[test]
fn an_open_quote_costs_its_line_alone() {
    let (rows, bad) = all(b"a,b\n1,\"x\n2,y\n3,\"z\nz\"\n4,\"w\n5,v\n", Delimiter::Byte(b','));
    assert_eq!(bad, [2, 6]);
    let ids: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(ids, ["a", "2", "3", "5"]);
    assert_eq!(rows[2][1], "z\nz");
}

#[test]
fn delimiters_are_found_and_two_colons_are_one() {
    for (text, cells) in [
        ("a;b,c;d\n", vec!["a", "b,c", "d"]),
        ("a\tb\n", vec!["a", "b"]),
        ("sep=;\na;b,b,b,b\n", vec!["a", "b,b,b,b"]),
        ("\u{FEFF}a|\"b,c,d\"\n", vec!["a", "b,c,d"]),
    ] {
        assert_eq!(all(text.as_bytes(), Delimiter::Found).0, [cells], "{text}");
    }
    assert_eq!(all(b"1::Se7en: x (1995)::A|B", Delimiter::Colons).0, [["1", "Se7en: x (1995)", "A|B"]]);
}

proptest! {
    /// On tables without unclosed quotes the records are those of the csv crate.
    #[test]
    fn records_are_those_of_the_csv_crate(
        cells in prop::collection::vec(prop::collection::vec("[a-z\",;\r\n é]{0,6}", 2..5), 1..6),
    ) {
        let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
        cells.iter().for_each(|row| writer.write_record(row).expect("in memory"));
        let text = writer.into_inner().expect("in memory");
        let mut reader =
            csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_slice());
        let expected: Vec<Vec<String>> = reader
            .records()
            .map(|record| record.expect("a record").iter().map(str::to_owned).collect())
            .collect();
        let (rows, bad) = all(&text, Delimiter::Byte(b','));
        prop_assert!(bad.is_empty());
        prop_assert_eq!(rows, expected);
    }
}
