//! The loops for any processor.

use crate::scenes::hsv;
use crate::scenes::kernels::rows::{Planes, PlanesMut, WeighedRow, YuvRow};
use crate::scenes::resize::{self, Tap};
use crate::scenes::yuv::Matrix;

pub fn weigh_columns(columns: &[Tap], matrix: Matrix, row: YuvRow<'_>, [blue, green, red]: &mut WeighedRow) {
    let pixel = |x: usize| matrix.bgr(row.y[x], row.u[x / 2], row.v[x / 2]);
    let weighed = blue.iter_mut().zip(green.iter_mut()).zip(red.iter_mut());
    for (column, ((blue, green), red)) in columns.iter().zip(weighed) {
        let (low, high) = (pixel(column.low), pixel(column.high));
        *blue = resize::weigh_columns(low[0], high[0], column.weights);
        *green = resize::weigh_columns(low[1], high[1], column.weights);
        *red = resize::weigh_columns(low[2], high[2], column.weights);
    }
}

pub fn weigh_rows(upper: &WeighedRow, lower: &WeighedRow, weights: [i16; 2], bgr: PlanesMut<'_>) {
    for ((upper, lower), plane) in upper.iter().zip(lower).zip(bgr) {
        for ((&upper, &lower), to) in upper.iter().zip(lower).zip(plane) {
            *to = resize::weigh_rows(upper, lower, weights);
        }
    }
}

pub fn compare(
    [blue, green, red]: Planes<'_>,
    before: Planes<'_>,
    [hue, saturation, value]: PlanesMut<'_>,
) -> [u64; 3] {
    let pixels = blue.iter().zip(green).zip(red);
    let now = hue.iter_mut().zip(saturation.iter_mut()).zip(value.iter_mut());
    for (((&b, &g), &r), ((hue, saturation), value)) in pixels.zip(now) {
        [*hue, *saturation, *value] = hsv::of_pixel(b, g, r);
    }
    let sum = |a: &[u8], b: &[u8]| a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    [sum(hue, before[0]), sum(saturation, before[1]), sum(value, before[2])]
}
