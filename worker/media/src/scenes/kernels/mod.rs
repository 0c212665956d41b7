//! The loops over pixels in two versions that agree bit for bit: portable, and for AVX2, chosen at
//! run time.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod portable;
pub mod rows;

use crate::scenes::kernels::rows::{LANES, Planes, PlanesMut, WeighedRow, YuvRow};
use crate::scenes::resize::Tap;
use crate::scenes::yuv::Matrix;

/// The version of the loops to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernels(Version);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    Portable,
    /// Exists only where AVX2 was detected.
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

impl Kernels {
    /// Returns the version for any processor.
    pub fn portable() -> Self {
        Self(Version::Portable)
    }

    /// Returns the fastest version for this processor.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            return Self(Version::Avx2);
        }
        Self::portable()
    }

    /// Converts the pixels of a row that the columns need, and weights them.
    pub fn weigh_columns(self, plan: &ColumnPlan, matrix: Matrix, row: YuvRow<'_>, weighed: &mut WeighedRow) {
        for plane in weighed.iter_mut() {
            plane.resize(plan.columns.len().next_multiple_of(LANES), 0);
        }
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Version::Avx2 if plan.fits(row) => avx2::run_weigh_columns(&plan.gather, matrix, row, weighed),
            _ => portable::weigh_columns(&plan.columns, matrix, row, weighed),
        }
    }

    /// Combines two weighted rows to a row of the small picture. All slices have the same length, a
    /// multiple of [`LANES`].
    pub fn weigh_rows(self, upper: &WeighedRow, lower: &WeighedRow, weights: [i16; 2], bgr: PlanesMut<'_>) {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Version::Avx2 => avx2::run_weigh_rows(upper, lower, weights, bgr),
            Version::Portable => portable::weigh_rows(upper, lower, weights, bgr),
        }
    }

    /// Writes hue, saturation and value of a row, and returns the sums of their absolute
    /// differences from the row `before`. All slices have the same length, a multiple of [`LANES`].
    pub fn compare(self, bgr: Planes<'_>, before: Planes<'_>, now: PlanesMut<'_>) -> [u64; 3] {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Version::Avx2 => avx2::run_compare(bgr, before, now),
            Version::Portable => portable::compare(bgr, before, now),
        }
    }
}

/// The pixels of a row that the columns of the small picture need, prepared for each version of the
/// loops.
#[derive(Debug, Clone)]
pub struct ColumnPlan {
    columns: Vec<Tap>,
    #[cfg(target_arch = "x86_64")]
    gather: avx2::Gather,
}

impl ColumnPlan {
    /// Prepares these columns.
    pub fn new(columns: Vec<Tap>) -> Self {
        #[cfg(target_arch = "x86_64")]
        let gather = avx2::Gather::new(&columns);
        Self {
            columns,
            #[cfg(target_arch = "x86_64")]
            gather,
        }
    }

    /// Returns the columns.
    pub fn taps(&self) -> &[Tap] {
        &self.columns
    }

    /// Whether a row is long enough for the plan.
    #[cfg(target_arch = "x86_64")]
    fn fits(&self, row: YuvRow<'_>) -> bool {
        row.y.len() >= self.gather.luma_bytes() && row.u.len().min(row.v.len()) >= self.gather.chroma_bytes()
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;
    use crate::scenes::resize::Plan;
    use crate::scenes::yuv::{FULL, LIMITED};

    /// Both versions of the loops; none without AVX2.
    fn both() -> Option<[Kernels; 2]> {
        let fast = Kernels::detect();
        if fast == Kernels::portable() {
            println!("skipped: this processor has no AVX2");
            return None;
        }
        Some([Kernels::portable(), fast])
    }

    fn noise(seed: u32, length: usize) -> Vec<u8> {
        let mut state = seed.wrapping_mul(2_654_435_761) | 1;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..length).map(|_| next()).collect()
    }

    #[test]
    fn columns_agree_bit_for_bit_at_every_width() {
        let Some(both) = both() else { return };
        for width in (1..700).chain([853, 960, 1279, 1280, 1920, 3840, 7680]) {
            let small = if width > 256 { 256 } else { width };
            for small in [small, (small / 3).max(1)] {
                let plan = ColumnPlan::new(Plan::new((width, 1), (small, 1)).columns);
                let (y, u, v) = (noise(width, width as usize), noise(small, width as usize), noise(7, width as usize));
                let half = width.div_ceil(2) as usize;
                let row = YuvRow { y: &y, u: &u[..half], v: &v[..half] };
                for matrix in [LIMITED, FULL] {
                    let [portable, fast] = both.map(|kernels| {
                        let mut weighed = WeighedRow::default();
                        kernels.weigh_columns(&plan, matrix, row, &mut weighed);
                        weighed
                    });
                    assert_eq!(portable, fast, "{width} to {small}");
                }
            }
        }
    }

    #[test]
    fn rows_agree_bit_for_bit_for_every_weight() {
        let Some(both) = both() else { return };
        // All values that a weighted row can have, and all weights.
        let values: Vec<i16> = (0..32_656).collect();
        let reversed: Vec<i16> = values.iter().rev().copied().collect();
        for weight in (0..=2048).step_by(17).chain([1024, 2048]) {
            let (upper, lower) = (std::array::from_fn(|_| values.clone()), std::array::from_fn(|_| reversed.clone()));
            let [portable, fast] = both.map(|kernels| {
                let mut bgr = [(); 3].map(|()| vec![0; values.len()]);
                kernels.weigh_rows(&upper, &lower, [weight, 2048 - weight], bgr.each_mut().map(Vec::as_mut_slice));
                bgr
            });
            assert!(portable == fast, "{weight}");
        }
    }

    #[test]
    fn hue_saturation_and_value_agree_bit_for_bit_for_every_colour() {
        let Some(both) = both() else { return };
        let ramp: Vec<u8> = (0..=255).collect();
        let before = [noise(1, 256), noise(2, 256), noise(3, 256)];
        for green in 0..=255 {
            for red in 0..=255 {
                let (green, red) = ([green; 256], [red; 256]);
                let [portable, fast] = both.map(|kernels| {
                    let mut now = [[0; 256]; 3];
                    let before = before.each_ref().map(Vec::as_slice);
                    let planes = now.each_mut().map(|plane| plane.as_mut_slice());
                    (kernels.compare([&ramp, &green, &red], before, planes), now)
                });
                assert!(portable == fast, "green {}, red {}", green[0], red[0]);
            }
        }
    }
}
