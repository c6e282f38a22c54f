use std::collections::BTreeMap;

use crate::oklab::Oklab;
use crate::{Color, Image};

/// Most colours of a palette.
pub const PALETTE_COLORS_MAX: usize = 32;

/// Pixels that are looked at, spread evenly: enough for shares within a percent.
const SAMPLES_MAX: usize = 16_384;

/// Less alpha than this is background shining through.
const ALPHA_MIN: u8 = 128;

/// Clustering is begun so often, each time elsewhere, and the best is kept; each converges, or is good enough by then.
const STARTS: u32 = 4;
const ROUNDS_MAX: u32 = 24;

/// The most frequent colour of a cluster with at least this share of it, and near its middle, was drawn, and stands for it;
/// else its colours are shades, and the nearest to the middle does.
const DRAWN_SHARE: f64 = 0.1;

/// Closer in Oklab (about 36 of 441 in RGB), two colours of pictures are one: compression and soft edges smear what was drawn.
const SAME_COLOR: f32 = 0.06;

/// Any number; a fixed one, so that a picture always has the same palette.
const SEED: u64 = 0x5eed_0233;

/// A colour of a palette and how much of the picture it stands for.
#[derive(Debug, Clone, PartialEq)]
pub struct Swatch {
    /// One that occurs in the picture: the most frequent of its cluster where one stands out, else the nearest to its middle.
    pub color: Color,
    /// Of the pixels that are not transparent, in percent with two digits.
    pub percentage: f64,
}

/// The picture's main colours, the most frequent first: k-means++ in Oklab. Fewer than `colors` when it has fewer, none when it
/// is transparent. `colors` is at most [`PALETTE_COLORS_MAX`].
pub fn palette(image: &Image, colors: usize) -> Vec<Swatch> {
    let mut counted = BTreeMap::new();
    count(image, &mut counted);
    clustered(counted, colors)
}

/// The main colours of several pictures together, the most frequent first, each clearly another: colours that the eye takes for
/// one are one swatch. Fewer than `colors_max` when there are fewer; the shares are of all colours, shown or not.
pub fn main_colors(images: impl IntoIterator<Item = Image>, colors_max: usize) -> Vec<Swatch> {
    let mut counted = BTreeMap::new();
    for image in images {
        count(&image, &mut counted);
    }
    let mut main: Vec<Swatch> = Vec::new();
    for swatch in clustered(counted, PALETTE_COLORS_MAX) {
        let lab = Oklab::from_srgb(swatch.color.0);
        let known = main
            .iter_mut()
            .find(|known| Oklab::from_srgb(known.color.0).distance(lab) < SAME_COLOR * SAME_COLOR);
        match known {
            Some(known) => known.percentage += swatch.percentage,
            None => main.push(swatch),
        }
    }
    sort(&mut main);
    main.truncate(colors_max);
    main
}

fn clustered(counted: BTreeMap<[u8; 3], u32>, colors: usize) -> Vec<Swatch> {
    let points: Vec<Point> = counted
        .into_iter()
        .map(|(rgb, count)| Point {
            rgb,
            lab: Oklab::from_srgb(rgb),
            weight: f64::from(count),
        })
        .collect();
    let wanted = colors.min(PALETTE_COLORS_MAX).min(points.len());
    if wanted == 0 {
        return Vec::new();
    }
    let mut random = SplitMix(SEED);
    let best = (0..STARTS)
        .map(|_| cluster(&points, wanted, &mut random))
        .min_by(|a, b| a.error.total_cmp(&b.error))
        .expect("there is at least one start");
    swatches(&points, &best)
}

/// A colour that occurs, and in how many samples.
struct Point {
    rgb: [u8; 3],
    lab: Oklab,
    weight: f64,
}

struct Clusters {
    middles: Vec<Oklab>,
    /// For each point, its middle.
    assigned: Vec<usize>,
    error: f64,
}

/// Adds the picture's samples.
fn count(image: &Image, counted: &mut BTreeMap<[u8; 3], u32>) {
    let (width, height) = (image.width(), image.height());
    // A grid, not every n-th pixel: that would walk along columns whenever n divides the width.
    let all = f64::from(width) * f64::from(height);
    let step = (all / SAMPLES_MAX as f64).sqrt().max(1.0);
    // Within the sides, which are `u32`.
    let places = |side: u32| {
        let count = (f64::from(side) / step).ceil().max(1.0) as u32;
        (0..count)
            .map(move |at| ((f64::from(at) + 0.5) * f64::from(side) / f64::from(count)) as u32)
    };
    for y in places(height) {
        for x in places(width) {
            if let Some([r, g, b, a]) = image.pixel(x, y)
                && a >= ALPHA_MIN
            {
                *counted.entry([r, g, b]).or_default() += 1;
            }
        }
    }
}

fn cluster(points: &[Point], wanted: usize, random: &mut SplitMix) -> Clusters {
    let mut middles = first_middles(points, wanted, random);
    let mut assigned = vec![usize::MAX; points.len()];
    let mut error = f64::INFINITY;
    for _ in 0..ROUNDS_MAX {
        error = 0.0;
        let mut changed = false;
        for (point, assigned) in points.iter().zip(&mut assigned) {
            let (nearest, distance) = nearest(point.lab, &middles);
            changed |= *assigned != nearest;
            *assigned = nearest;
            error += f64::from(distance) * point.weight;
        }
        if !changed {
            break;
        }
        move_middles(points, &assigned, &mut middles);
    }
    Clusters {
        middles,
        assigned,
        error,
    }
}

/// k-means++ (Arthur and Vassilvitskii, 2007): each next middle is a point, the likelier the farther it is from those there are.
fn first_middles(points: &[Point], wanted: usize, random: &mut SplitMix) -> Vec<Oklab> {
    let mut middles = Vec::with_capacity(wanted);
    let mut far: Vec<f64> = points.iter().map(|point| point.weight).collect();
    while middles.len() < wanted {
        let total: f64 = far.iter().sum();
        if total <= 0.0 {
            break;
        }
        let mut left = random.unit() * total;
        let picked = far.iter().position(|share| {
            left -= share;
            left < 0.0
        });
        // Rounding may leave a rest behind the last one.
        let picked = picked.or_else(|| far.iter().rposition(|share| *share > 0.0));
        let middle = points[picked.expect("some share is above zero")].lab;
        let first = middles.is_empty();
        middles.push(middle);
        for (point, far) in points.iter().zip(&mut far) {
            let distance = f64::from(point.lab.distance(middle)) * point.weight;
            *far = if first { distance } else { far.min(distance) };
        }
    }
    middles
}

fn nearest(lab: Oklab, middles: &[Oklab]) -> (usize, f32) {
    let mut best = (0, f32::INFINITY);
    for (at, middle) in middles.iter().enumerate() {
        let distance = lab.distance(*middle);
        if distance < best.1 {
            best = (at, distance);
        }
    }
    best
}

fn move_middles(points: &[Point], assigned: &[usize], middles: &mut [Oklab]) {
    let mut sums = vec![([0.0_f64; 3], 0.0_f64); middles.len()];
    for (point, cluster) in points.iter().zip(assigned) {
        let (sum, weight) = &mut sums[*cluster];
        for (sum, part) in sum.iter_mut().zip(point.lab.0) {
            *sum += f64::from(part) * point.weight;
        }
        *weight += point.weight;
    }
    for (middle, (sum, weight)) in middles.iter_mut().zip(sums) {
        // One that has lost all its points stays where it is.
        if weight > 0.0 {
            *middle = Oklab(sum.map(|sum| (sum / weight) as f32));
        }
    }
}

fn swatches(points: &[Point], clusters: &Clusters) -> Vec<Swatch> {
    let total: f64 = points.iter().map(|point| point.weight).sum();
    let mut swatches: Vec<Swatch> = Vec::with_capacity(clusters.middles.len());
    for (at, middle) in clusters.middles.iter().enumerate() {
        let members = || {
            let pairs = points.iter().zip(&clusters.assigned);
            pairs
                .filter(move |(_, cluster)| **cluster == at)
                .map(|(point, _)| point)
        };
        let weight: f64 = members().map(|point| point.weight).sum();
        let drawn = members()
            .max_by(|a, b| a.weight.total_cmp(&b.weight))
            .filter(|point| point.weight > 1.0 && point.weight >= weight * DRAWN_SHARE)
            .filter(|point| point.lab.distance(*middle) < SAME_COLOR * SAME_COLOR);
        let shown = drawn.or_else(|| {
            members().min_by(|a, b| a.lab.distance(*middle).total_cmp(&b.lab.distance(*middle)))
        });
        if let Some(shown) = shown {
            swatches.push(Swatch {
                color: Color(shown.rgb),
                percentage: (weight / total * 10_000.0).round() / 100.0,
            });
        }
    }
    sort(&mut swatches);
    swatches
}

fn sort(swatches: &mut [Swatch]) {
    swatches.sort_by(|a, b| {
        b.percentage
            .total_cmp(&a.percentage)
            .then_with(|| a.color.0.cmp(&b.color.0))
    });
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct SplitMix(u64);

impl SplitMix {
    /// From 0 up to, but not, 1.
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}
