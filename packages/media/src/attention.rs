//! Where to cut. The idea is that of content-aware croppers such as smartcrop: what people look at has edges, skin, or
//! strong colour. Nothing is learned, so the same picture is always cut the same way.

use crate::Image;
use crate::resize::{Region, largest, scaled};

/// The longest side of the copy that is looked at: noise is gone, a face is still some pixels.
const MAP_SIDE: u32 = 192;

const EDGE_WEIGHT: f32 = 1.0;
const SKIN_WEIGHT: f32 = 1.8;
const SATURATION_WEIGHT: f32 = 0.4;

/// The ideal direction of skin in linear proportions of red, green and blue; after smartcrop's published parameters.
const SKIN: [f32; 3] = [0.78, 0.57, 0.44];
const SKIN_SIMILARITY_MIN: f32 = 0.8;

/// What lies at a window's rim counts less: a face is not to be cut in half.
const RIM: f32 = 0.15;
const RIM_WEIGHT: f32 = 0.35;

/// How much a window in the middle is preferred when the picture does not say where to look.
const MIDDLE_WEIGHT: f32 = 0.02;

/// The largest region with the ratio of `width × height` that holds the most striking part. It is moved along the one axis
/// on which it can move.
pub fn attention(image: &Image, width: u32, height: u32) -> Region {
    let region = largest(image, width.max(1), height.max(1));
    let free_width = f64::from(image.width()) - region.width;
    let free_height = f64::from(image.height()) - region.height;
    if free_width < 1.0 && free_height < 1.0 {
        return region;
    }
    let map = Map::of(image);
    if free_width >= free_height {
        let share = region.width / f64::from(image.width());
        Region {
            left: free_width * best_offset(&map.columns(), share),
            ..region
        }
    } else {
        let share = region.height / f64::from(image.height());
        Region {
            top: free_height * best_offset(&map.rows(), share),
            ..region
        }
    }
}

/// Where along a line of weights a window that covers `share` of it is best, from 0 (start) to 1 (end).
fn best_offset(line: &[f32], share: f64) -> f64 {
    let length = line.len() as f32;
    let window = (share as f32 * length).max(1.0);
    let steps = (length - window).ceil().max(1.0) as usize;
    let total: f32 = line.iter().sum::<f32>().max(f32::EPSILON);
    let mut best = (f32::NEG_INFINITY, 0.5);
    for step in 0..=steps {
        let offset = step as f32 / steps as f32;
        let start = offset * (length - window);
        let inside: f32 = line
            .iter()
            .enumerate()
            .map(|(at, weight)| weight * importance((at as f32 + 0.5 - start) / window))
            .sum();
        let off_middle = (offset - 0.5).abs() * 2.0;
        let score = inside / total - off_middle * MIDDLE_WEIGHT;
        if score > best.0 {
            best = (score, f64::from(offset));
        }
    }
    best.1
}

/// How much a place counts, from a window's start (0) to its end (1).
fn importance(place: f32) -> f32 {
    if !(0.0..=1.0).contains(&place) {
        return 0.0;
    }
    let from_rim = place.min(1.0 - place);
    if from_rim >= RIM {
        return 1.0;
    }
    RIM_WEIGHT + (1.0 - RIM_WEIGHT) * from_rim / RIM
}

/// How striking each place of a small copy is.
struct Map {
    width: usize,
    weights: Vec<f32>,
}

impl Map {
    fn of(image: &Image) -> Self {
        let longest = image.width().max(image.height());
        let side = |side: u32| (u64::from(side) * u64::from(MAP_SIDE) / u64::from(longest)).max(1);
        let small;
        let small = if longest <= MAP_SIDE {
            image
        } else {
            let whole = largest(image, image.width(), image.height());
            // At most `MAP_SIDE`.
            small = scaled(
                image,
                whole,
                side(image.width()) as u32,
                side(image.height()) as u32,
            );
            &small
        };
        let (width, height) = (small.width() as usize, small.height() as usize);
        let pixels: Vec<[f32; 4]> = small
            .pixels()
            .map(|pixel| pixel.map(|sample| f32::from(sample) / 255.0))
            .collect();
        let luma: Vec<f32> = pixels.iter().map(luma).collect();
        let mut weights = Vec::with_capacity(pixels.len());
        for y in 0..height {
            for x in 0..width {
                let at = y * width + x;
                let pixel = &pixels[at];
                let edge = edge(&luma, x, y, width, height) * EDGE_WEIGHT;
                let color = skin(pixel, luma[at]) * SKIN_WEIGHT
                    + saturation(pixel, luma[at]) * SATURATION_WEIGHT;
                weights.push((edge + color) * pixel[3]);
            }
        }
        Self { width, weights }
    }

    fn columns(&self) -> Vec<f32> {
        let mut sums = vec![0.0; self.width];
        for row in self.weights.chunks_exact(self.width) {
            for (sum, weight) in sums.iter_mut().zip(row) {
                *sum += weight;
            }
        }
        sums
    }

    fn rows(&self) -> Vec<f32> {
        self.weights
            .chunks_exact(self.width)
            .map(|row| row.iter().sum())
            .collect()
    }
}

fn luma(pixel: &[f32; 4]) -> f32 {
    0.2126 * pixel[0] + 0.7152 * pixel[1] + 0.0722 * pixel[2]
}

/// How much a pixel differs from its four neighbours. Outside the picture it goes on as at its rim.
fn edge(luma: &[f32], x: usize, y: usize, width: usize, height: usize) -> f32 {
    let at = |x: usize, y: usize| luma[y * width + x];
    let around = at(x.saturating_sub(1), y)
        + at((x + 1).min(width - 1), y)
        + at(x, y.saturating_sub(1))
        + at(x, (y + 1).min(height - 1));
    (4.0 * at(x, y) - around).abs().min(1.0)
}

/// How near to skin a colour's direction is; dark and blown-out places do not count.
fn skin(pixel: &[f32; 4], luma: f32) -> f32 {
    if !(0.2..=0.95).contains(&luma) {
        return 0.0;
    }
    let length = (pixel[0].powi(2) + pixel[1].powi(2) + pixel[2].powi(2)).sqrt();
    let skin_length = SKIN.iter().map(|part| part.powi(2)).sum::<f32>().sqrt();
    let away = (0..3)
        .map(|part| (pixel[part] / length - SKIN[part] / skin_length).powi(2))
        .sum::<f32>()
        .sqrt();
    let near = 1.0 - away;
    ((near - SKIN_SIMILARITY_MIN) / (1.0 - SKIN_SIMILARITY_MIN)).max(0.0)
}

/// How far a colour is from grey, between too dark and too bright to be seen as colour.
fn saturation(pixel: &[f32; 4], luma: f32) -> f32 {
    if !(0.05..=0.9).contains(&luma) {
        return 0.0;
    }
    let most = pixel[0].max(pixel[1]).max(pixel[2]);
    let least = pixel[0].min(pixel[1]).min(pixel[2]);
    if most <= 0.0 {
        return 0.0;
    }
    let saturation = (most - least) / most;
    ((saturation - 0.4) / 0.6).max(0.0)
}
