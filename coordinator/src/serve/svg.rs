//! Points of the small charts of pages. Templates draw them.

/// Points of a curve for each pixel column at most, so that a long trailer stays small.
const MAX_POINTS: usize = 600;

/// Returns the points of a curve over `0..width` and `0..height`, for the `points` of a polyline.
/// `values` are evenly spaced and scaled so that `top` is at the upper edge; of values that share a
/// column the highest is drawn.
pub fn curve(values: &[f64], width: f64, height: f64, top: f64) -> String {
    let columns = values.len().min(MAX_POINTS);
    let mut text = String::with_capacity(columns * 12);
    for column in 0..columns {
        let (start, end) = (column * values.len() / columns, (column + 1) * values.len() / columns);
        let value = values[start..end].iter().copied().filter(|v| v.is_finite()).fold(0.0, f64::max);
        let x = if columns > 1 { width * column as f64 / (columns - 1) as f64 } else { 0.0 };
        let y = height - height * (value / top).clamp(0.0, 1.0);
        text.push_str(&format!("{x:.1},{y:.1} "));
    }
    text.truncate(text.trim_end().len());
    text
}

/// Returns the path of a waveform over `0..width` and `0..height`: one stroke for each of the
/// `peaks` (0 to 1), around the middle.
pub fn waveform(peaks: &[f64], width: f64, height: f64) -> String {
    let step = width / peaks.len().max(1) as f64;
    let mut path = String::with_capacity(peaks.len() * 20);
    for (place, peak) in peaks.iter().enumerate() {
        let half = (height / 2.0 - 1.0) * peak.clamp(0.0, 1.0) + 0.5;
        let middle = height / 2.0;
        path.push_str(&format!("M{:.1} {:.1}V{:.1}", (place as f64 + 0.5) * step, middle - half, middle + half));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waveforms_are_strokes_around_the_middle() {
        assert_eq!(waveform(&[0.0, 1.0], 100.0, 20.0), "M25.0 9.5V10.5M75.0 0.5V19.5");
        assert_eq!(waveform(&[], 100.0, 20.0), "");
    }

    #[test]
    fn curves_fill_their_box_and_stay_short() {
        assert_eq!(curve(&[0.0, 10.0, 5.0], 100.0, 20.0, 10.0), "0.0,20.0 50.0,0.0 100.0,10.0");
        assert_eq!(curve(&[], 100.0, 20.0, 10.0), "");
        assert!(curve(&[f64::NAN, f64::INFINITY], 100.0, 20.0, 10.0).contains("20.0"));
        let mut long = vec![0.0; 100_000];
        long[77_777] = 10.0;
        let points = curve(&long, 1000.0, 100.0, 10.0);
        assert_eq!(points.split(' ').count(), MAX_POINTS);
        assert!(points.contains(",0.0"), "the peak is kept");
    }
}
