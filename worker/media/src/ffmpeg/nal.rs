//! The NAL units of H.264 and HEVC packets.

/// How units are delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// By the bytes 0, 0, 1.
    StartCodes,
    /// By a length prefix of this many bytes.
    Lengths(usize),
}

impl Framing {
    /// Reads the configuration record of an H.264 stream; without one, start codes.
    pub fn of_h264(extradata: &[u8]) -> Self {
        Self::of_record(extradata, 4)
    }

    /// Reads the configuration record of an HEVC stream; without one, start codes.
    pub fn of_hevc(extradata: &[u8]) -> Self {
        Self::of_record(extradata, 21)
    }

    fn of_record(extradata: &[u8], at: usize) -> Self {
        match (extradata.first(), extradata.get(at)) {
            (Some(1), Some(byte)) => Self::Lengths(usize::from(byte & 3) + 1),
            _ => Self::StartCodes,
        }
    }

    /// Iterates over the units of a packet, none of them empty; stops at invalid data.
    pub fn units(self, data: &[u8]) -> Units<'_> {
        let rest = match self {
            Self::StartCodes => after_start_code(data).unwrap_or_default(),
            Self::Lengths(_) => data,
        };
        Units { framing: self, rest }
    }
}

/// See [`Framing::units`].
pub struct Units<'a> {
    framing: Framing,
    rest: &'a [u8],
}

impl<'a> Iterator for Units<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let unit = match self.framing {
            Framing::Lengths(bytes) => {
                let (length, rest) = self.rest.split_at_checked(bytes)?;
                let length = length.iter().fold(0usize, |sum, &byte| sum << 8 | usize::from(byte));
                let (unit, rest) = rest.split_at_checked(length)?;
                self.rest = rest;
                unit
            }
            Framing::StartCodes => {
                let unit = self.rest;
                self.rest = after_start_code(unit).unwrap_or_default();
                unit
            }
        };
        Some(unit).filter(|unit| !unit.is_empty())
    }
}

/// Returns the data after the first start code.
fn after_start_code(data: &[u8]) -> Option<&[u8]> {
    let at = data.windows(3).position(|window| window == [0, 0, 1])?;
    Some(&data[at + 3..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_bytes(framing: Framing, data: &[u8]) -> Vec<u8> {
        framing.units(data).map(|unit| unit[0]).collect()
    }

    #[test]
    fn units_are_found_in_both_framings_and_end_at_invalid_data() {
        let codes = [0, 0, 0, 1, 0x67, 1, 2, 0, 0, 1, 0x68, 9, 0, 0, 1, 0x65, 7];
        assert_eq!(first_bytes(Framing::StartCodes, &codes), [0x67, 0x68, 0x65]);
        assert_eq!(first_bytes(Framing::StartCodes, &[1, 2, 3]), [0; 0]);
        assert_eq!(first_bytes(Framing::Lengths(2), &[0, 1, 0x67, 0, 2, 0x65, 8]), [0x67, 0x65]);
        assert_eq!(first_bytes(Framing::Lengths(4), &[0, 0, 0, 1, 0x67, 0xff, 0xff, 0xff, 0xff, 1]), [0x67]);
        assert_eq!(first_bytes(Framing::Lengths(1), &[0, 5]), [0; 0]);
    }

    #[test]
    fn the_configuration_record_determines_the_framing() {
        assert_eq!(Framing::of_h264(&[1, 100, 0, 31, 0xff, 0xe1]), Framing::Lengths(4));
        assert_eq!(Framing::of_h264(&[0, 0, 0, 1, 0x67]), Framing::StartCodes);
        assert_eq!(Framing::of_hevc(&[]), Framing::StartCodes);
    }
}
