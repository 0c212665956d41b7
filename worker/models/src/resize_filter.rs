//! The registry's filters as filters of the media crate, which does not know the registry.

use jhalak_common::models;
use jhalak_media::picture::resample;

/// Returns Pillow's filter for the registry's `filter`; none for two-tap, which Pillow does not
/// have.
pub fn pillow(filter: models::Filter) -> Option<resample::Filter> {
    match filter {
        models::Filter::Bilinear => Some(resample::Filter::Bilinear),
        models::Filter::Bicubic => Some(resample::Filter::Bicubic),
        models::Filter::Nearest => Some(resample::Filter::Nearest),
        models::Filter::TwoTap => None,
    }
}
