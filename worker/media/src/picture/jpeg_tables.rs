//! The tables of the JPEG standard's annex K, for luma and for chroma.

/// Quantization steps for luma at quality 50, in natural order (table K.1).
pub const LUMA_STEPS: [u8; 64] = [
    16, 11, 10, 16, 24, 40, 51, 61, //
    12, 12, 14, 19, 26, 58, 60, 55, //
    14, 13, 16, 24, 40, 57, 69, 56, //
    14, 17, 22, 29, 51, 87, 80, 62, //
    18, 22, 37, 56, 68, 109, 103, 77, //
    24, 35, 55, 64, 81, 104, 113, 92, //
    49, 64, 78, 87, 103, 121, 120, 101, //
    72, 92, 95, 98, 112, 100, 103, 99,
];

/// Quantization steps for chroma at quality 50 (table K.2).
pub const CHROMA_STEPS: [u8; 64] = [
    17, 18, 24, 47, 99, 99, 99, 99, //
    18, 21, 26, 66, 99, 99, 99, 99, //
    24, 26, 56, 99, 99, 99, 99, 99, //
    47, 66, 99, 99, 99, 99, 99, 99, //
    99, 99, 99, 99, 99, 99, 99, 99, //
    99, 99, 99, 99, 99, 99, 99, 99, //
    99, 99, 99, 99, 99, 99, 99, 99, //
    99, 99, 99, 99, 99, 99, 99, 99,
];

/// Positions of the coefficients of a block from low to high frequency: along the diagonals,
/// alternately up and down.
pub const ZIGZAG: [u8; 64] = zigzag(8, 1);
/// [`ZIGZAG`] for a transposed block.
pub const ZIGZAG_TRANSPOSED: [u8; 64] = zigzag(1, 8);

/// For every coefficient of a transposed block, its index in [`ZIGZAG_TRANSPOSED`].
pub const PLACES_TRANSPOSED: [u8; 64] = {
    let mut places = [0; 64];
    let mut n = 0;
    while n < 64 {
        places[ZIGZAG_TRANSPOSED[n] as usize] = n as u8;
        n += 1;
    }
    places
};

const fn zigzag(down: usize, right: usize) -> [u8; 64] {
    let mut order = [0; 64];
    let (mut x, mut y, mut n) = (0usize, 0usize, 0);
    while n < 64 {
        order[n] = (y * down + x * right) as u8;
        n += 1;
        let upwards = (x + y).is_multiple_of(2);
        if upwards && x < 7 {
            x += 1;
            y = y.saturating_sub(1);
        } else if upwards || y < 7 {
            y += 1;
            x = if upwards { x } else { x.saturating_sub(1) };
        } else {
            x += 1;
        }
    }
    order
}

/// A Huffman table as stored in the file.
pub struct Huffman {
    /// Number of codes of 1 to 16 bits.
    pub lengths: [u8; 16],
    /// The symbols of the codes, from the shortest.
    pub symbols: &'static [u8],
}

/// The tables of one kind of component.
pub struct Kind {
    /// For the differences of the first coefficients: the magnitude.
    pub dc: Huffman,
    /// For the others: zeros before it, times 16, and its magnitude. 0: only zeros follow. 0xf0: 16
    /// zeros.
    pub ac: Huffman,
}

const MAGNITUDES: [u8; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];

/// For luma and chroma (tables K.3 to K.6).
pub static HUFFMAN: [Kind; 2] = [
    Kind {
        dc: Huffman { lengths: [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0], symbols: &MAGNITUDES },
        ac: Huffman { lengths: [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125], symbols: &LUMA_AC },
    },
    Kind {
        dc: Huffman { lengths: [0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0], symbols: &MAGNITUDES },
        ac: Huffman { lengths: [0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 119], symbols: &CHROMA_AC },
    },
];

const LUMA_AC: [u8; 162] = with_the_rest(&[
    0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07, 0x22, 0x71, 0x14,
    0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52, 0xd1, 0xf0, 0x24, 0x33, 0x62, 0x72, 0x82,
]);

const CHROMA_AC: [u8; 162] = with_the_rest(&[
    0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71, 0x13, 0x22, 0x32,
    0x81, 0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09, 0x23, 0x33, 0x52, 0xf0, 0x15, 0x62, 0x72, 0xd1, 0x0a, 0x16,
    0x24, 0x34, 0xe1, 0x25, 0xf1,
]);

/// The standard sorts the frequent symbols by frequency; all others follow in ascending order.
const fn with_the_rest(frequent: &[u8]) -> [u8; 162] {
    let mut symbols = [0; 162];
    let mut used = [false; 256];
    let (mut count, mut symbol) = (0, 0);
    while count < frequent.len() {
        symbols[count] = frequent[count];
        used[frequent[count] as usize] = true;
        count += 1;
    }
    while symbol < 256 {
        let magnitude = symbol % 16;
        if magnitude >= 1 && magnitude <= 10 && !used[symbol] {
            symbols[count] = symbol as u8;
            count += 1;
        }
        symbol += 1;
    }
    symbols
}

/// A code and its length, for every symbol.
pub struct Codes {
    /// See [`Kind::dc`].
    pub dc: [(u16, u8); 256],
    /// See [`Kind::ac`].
    pub ac: [(u16, u8); 256],
}

/// For luma and chroma.
pub static CODES: [Codes; 2] = [
    Codes { dc: codes(&HUFFMAN[0].dc), ac: codes(&HUFFMAN[0].ac) },
    Codes { dc: codes(&HUFFMAN[1].dc), ac: codes(&HUFFMAN[1].ac) },
];

/// Codes of one length are consecutive; the next length continues from there.
const fn codes(table: &Huffman) -> [(u16, u8); 256] {
    let mut codes = [(0, 0); 256];
    let (mut code, mut next, mut length) = (0u32, 0, 0);
    while length < 16 {
        let mut left = table.lengths[length];
        while left > 0 {
            codes[table.symbols[next] as usize] = (code as u16, length as u8 + 1);
            code += 1;
            next += 1;
            left -= 1;
        }
        code <<= 1;
        length += 1;
    }
    codes
}
