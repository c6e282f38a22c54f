//! Oklab, a space in which distance is about what the eye sees (Björn Ottosson, 2020).

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Oklab(pub(crate) [f32; 3]);

impl Oklab {
    pub(crate) fn from_srgb(rgb: [u8; 3]) -> Self {
        let [r, g, b] = rgb.map(linear);
        let l = (0.412_221_46 * r + 0.536_332_55 * g + 0.051_445_995 * b).cbrt();
        let m = (0.211_903_5 * r + 0.680_699_5 * g + 0.107_396_96 * b).cbrt();
        let s = (0.088_302_46 * r + 0.281_718_85 * g + 0.629_978_7 * b).cbrt();
        Self([
            0.210_454_26 * l + 0.793_617_8 * m - 0.004_072_047 * s,
            1.977_998_5 * l - 2.428_592_2 * m + 0.450_593_7 * s,
            0.025_904_037 * l + 0.782_771_77 * m - 0.808_675_77 * s,
        ])
    }

    /// The square of the distance.
    pub(crate) fn distance(self, other: Self) -> f32 {
        let [l, a, b] = self.0;
        let [other_l, other_a, other_b] = other.0;
        (l - other_l).powi(2) + (a - other_a).powi(2) + (b - other_b).powi(2)
    }
}

/// IEC 61966-2-1.
fn linear(sample: u8) -> f32 {
    let sample = f32::from(sample) / 255.0;
    if sample <= 0.040_45 {
        sample / 12.92
    } else {
        ((sample + 0.055) / 1.055).powf(2.4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_colours_have_their_published_coordinates() {
        let cases = [
            ([255, 255, 255], [1.0, 0.0, 0.0]),
            ([0, 0, 0], [0.0, 0.0, 0.0]),
            ([255, 0, 0], [0.627_96, 0.224_86, 0.125_85]),
            ([0, 0, 255], [0.452_01, -0.032_46, -0.311_53]),
        ];
        for (rgb, expected) in cases {
            let Oklab(found) = Oklab::from_srgb(rgb);
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-3, "{rgb:?}: {found}");
            }
        }
    }
}
