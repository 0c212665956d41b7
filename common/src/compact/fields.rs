//! The fields of a packed row as bytes: numbers of seven bits a byte, texts after their length.

/// Appends a number, small ones in one byte.
pub fn put_number(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

/// Appends a text.
pub fn put_text(to: &mut Vec<u8>, text: &str) {
    put_number(to, text.len() as u64);
    to.extend_from_slice(text.as_bytes());
}

/// Appends a list of texts.
pub fn put_texts(to: &mut Vec<u8>, texts: &[String]) {
    put_number(to, texts.len() as u64);
    texts.iter().for_each(|text| put_text(to, text));
}

/// Appends four bytes, or that there are none.
pub fn put_optional(to: &mut Vec<u8>, bytes: Option<[u8; 4]>) {
    to.push(u8::from(bytes.is_some()));
    to.extend_from_slice(bytes.as_ref().map_or(&[], |bytes| &bytes[..]));
}

/// Takes the next bytes; None if there are fewer.
pub fn take_bytes<'a>(from: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (bytes, rest) = from.split_at_checked(count)?;
    *from = rest;
    Some(bytes)
}

/// Takes a number.
pub fn take_number(from: &mut &[u8]) -> Option<u64> {
    let (mut number, mut shift) = (0u64, 0);
    loop {
        let byte = take_bytes(from, 1)?[0];
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
        shift += 7;
        if shift > 63 {
            return None;
        }
    }
}

/// Takes a text.
pub fn take_text(from: &mut &[u8]) -> Option<String> {
    let length = usize::try_from(take_number(from)?).ok()?;
    String::from_utf8(take_bytes(from, length)?.to_vec()).ok()
}

/// Takes a list of texts.
pub fn take_texts(from: &mut &[u8]) -> Option<Vec<String>> {
    let count = take_number(from)?;
    (0..count).map(|_| take_text(from)).collect()
}

/// Takes four bytes that may be absent. The outer None is an error.
pub fn take_optional(from: &mut &[u8]) -> Option<Option<[u8; 4]>> {
    match take_bytes(from, 1)?[0] {
        0 => Some(None),
        _ => Some(Some(take_bytes(from, 4)?.try_into().ok()?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_back_and_a_cut_row_is_none() {
        let mut bytes = Vec::new();
        [0, 127, 128, 300, u64::MAX].iter().for_each(|number| put_number(&mut bytes, *number));
        put_text(&mut bytes, "Amélie");
        put_texts(&mut bytes, &["a".to_owned(), String::new()]);
        put_optional(&mut bytes, None);
        put_optional(&mut bytes, Some([1, 2, 3, 4]));
        let from = &mut &bytes[..];
        let numbers: Vec<_> = (0..5).map(|_| take_number(from)).collect();
        assert_eq!(numbers, [0, 127, 128, 300, u64::MAX].map(Some));
        assert_eq!(take_text(from).as_deref(), Some("Amélie"));
        assert_eq!(take_texts(from), Some(vec!["a".to_owned(), String::new()]));
        assert_eq!((take_optional(from), take_optional(from)), (Some(None), Some(Some([1, 2, 3, 4]))));
        assert!(from.is_empty() && take_number(from).is_none());
        assert_eq!((take_text(&mut &[5, b'a'][..]), take_number(&mut &[0x80; 11][..])), (None, None));
    }
}
