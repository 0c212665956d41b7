//! Hue, saturation and value as OpenCV computes them for 8-bit pictures, in fixed point.

/// `numerator / denominator` in 1/4096, rounded half to even; 0 for a denominator of 0.
const fn quotient(numerator: i32, denominator: i32) -> i32 {
    if denominator == 0 {
        return 0;
    }
    let (whole, rest) = ((numerator << 12) / denominator, (numerator << 12) % denominator);
    let up = 2 * rest > denominator || (2 * rest == denominator && whole % 2 == 1);
    whole + up as i32
}

const fn quotients(numerator: i32, times: i32) -> [i32; 256] {
    let mut table = [0; 256];
    let mut n = 0;
    while n < 256 {
        table[n] = quotient(numerator, times * n as i32);
        n += 1;
    }
    table
}

/// 255 / n.
static SATURATION: [i32; 256] = quotients(255, 1);
/// 180 / (6 n).
static HUE: [i32; 256] = quotients(180, 6);

/// Returns hue, saturation and value of one pixel.
#[inline(always)]
pub fn of_pixel(b: u8, g: u8, r: u8) -> [u8; 3] {
    let value = b.max(g).max(r);
    let spread = value - b.min(g).min(r);
    let [b, g, r] = [b, g, r].map(i32::from);
    let saturation = (i32::from(spread) * SATURATION[usize::from(value)] + 2048) >> 12;
    let sixths = if i32::from(value) == r {
        g - b
    } else if i32::from(value) == g {
        b - r + 2 * i32::from(spread)
    } else {
        r - g + 4 * i32::from(spread)
    };
    let hue = (sixths * HUE[usize::from(spread)] + 2048) >> 12;
    [if hue < 0 { hue + 180 } else { hue } as u8, saturation as u8, value]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pure_colours_and_greys_have_their_textbook_values() {
        assert_eq!(of_pixel(0, 0, 255), [0, 255, 255]);
        assert_eq!(of_pixel(0, 255, 255), [30, 255, 255]);
        assert_eq!(of_pixel(0, 255, 0), [60, 255, 255]);
        assert_eq!(of_pixel(255, 255, 0), [90, 255, 255]);
        assert_eq!(of_pixel(255, 0, 0), [120, 255, 255]);
        assert_eq!(of_pixel(255, 0, 255), [150, 255, 255]);
        assert_eq!(of_pixel(77, 77, 77), [0, 0, 77]);
        assert_eq!(of_pixel(0, 0, 0), [0, 0, 0]);
    }

    #[test]
    fn quotients_are_rounded_half_to_even() {
        for n in 1..256 {
            assert_eq!(SATURATION[n as usize], (f64::from(255 << 12) / f64::from(n)).round_ties_even() as i32);
            assert_eq!(HUE[n as usize], (f64::from(180 << 12) / (6.0 * f64::from(n))).round_ties_even() as i32);
        }
    }
}
