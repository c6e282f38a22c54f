use super::background::{cut_out, unreadable};
use super::tone::Tone;
use super::{HINT, PROVIDER, usage};
use crate::pixels;
use crate::{Answer, EncodedImage, ImageError, ImageModel, ImageRequest, MadeImage};
use async_trait::async_trait;
use image::RgbaImage;
use image::imageops::{self, FilterType};
use std::time::Instant;

/// Makes images by plain operations, always the same for the same request.
///
/// - Two or more images: the first, without its background if that is plain, is placed on the second, as large as the
///   middle of it allows. That is what "dress the mannequin" comes to without a model.
/// - One image: the changes of tone that the prompt names ("brighter", "warmer", "black and white", …).
///
/// Anything else is refused. The note of the result says what was done, and that no model was at work.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalImageModel;

/// The part of the background's sides that the subject may take.
const ROOM: f32 = 0.72;

/// Longer sides than this are not needed to show what the composition is like.
const SIDE_MAX: u32 = 4096;

#[async_trait]
impl ImageModel for LocalImageModel {
    fn provider(&self) -> &str {
        PROVIDER
    }

    async fn make(&self, request: &ImageRequest) -> Result<Answer<MadeImage>, ImageError> {
        let started = Instant::now();
        let (made, method) = match request.images.as_slice() {
            [] => {
                return Err(ImageError::Unavailable {
                    provider: PROVIDER.to_owned(),
                    what: "make an image from words alone".to_owned(),
                    hint: HINT,
                });
            }
            [image] => (change_tone(image, &request.prompt).await?, "tone"),
            [subject, background, ..] => (compose(subject, background).await?, "composite"),
        };
        let mut usage = usage(method, started);
        usage.images = 1;
        Ok(Answer::new(made, usage))
    }
}

async fn change_tone(image: &EncodedImage, prompt: &str) -> Result<MadeImage, ImageError> {
    let tones = Tone::named_in(prompt);
    if tones.is_empty() {
        return Err(ImageError::Unavailable {
            provider: PROVIDER.to_owned(),
            what: "follow this prompt: for one image it knows brighter, darker, warmer, cooler, contrast, \
                vivid, muted and black and white"
                .to_owned(),
            hint: HINT,
        });
    }
    let names: Vec<&str> = tones.iter().map(|tone| tone.name()).collect();
    let note = format!("local provider: made {}, without a model", names.join(", "));
    make(note, [image.clone()], move |[mut pixels]| {
        tones.into_iter().for_each(|tone| tone.apply(&mut pixels));
        pixels
    })
    .await
}

async fn compose(
    subject: &EncodedImage,
    background: &EncodedImage,
) -> Result<MadeImage, ImageError> {
    let note = "local provider: the first image placed on the second, without a model";
    let images = [subject.clone(), background.clone()];
    make(note.to_owned(), images, |[mut subject, background]| {
        // A background that is not plain comes along: better than guessing what the subject is.
        let _ = cut_out(&mut subject);
        let subject = trimmed(&subject);
        let mut canvas = fitted(background, SIDE_MAX, SIDE_MAX);
        let room = |side: u32| ((side as f32 * ROOM) as u32).max(1);
        let (width, height) = (room(canvas.width()), room(canvas.height()));
        let subject = fitted(subject, width, height);
        let left = (canvas.width() - subject.width().min(canvas.width())) / 2;
        let top = (canvas.height() - subject.height().min(canvas.height())) / 2;
        imageops::overlay(&mut canvas, &subject, i64::from(left), i64::from(top));
        canvas
    })
    .await
}

/// The image scaled to fit; a smaller subject grows, too, so that sizes of files do not decide about the picture.
fn fitted(image: RgbaImage, width: u32, height: u32) -> RgbaImage {
    let is_canvas = width == SIDE_MAX && height == SIDE_MAX;
    let scale = (width as f32 / image.width() as f32).min(height as f32 / image.height() as f32);
    if is_canvas && scale >= 1.0 {
        return image;
    }
    let side = |side: u32| ((side as f32 * scale).round() as u32).max(1);
    imageops::resize(
        &image,
        side(image.width()),
        side(image.height()),
        FilterType::Triangle,
    )
}

/// Without transparent margins.
fn trimmed(pixels: &RgbaImage) -> RgbaImage {
    let (mut left, mut top, mut right, mut bottom) = (u32::MAX, u32::MAX, 0, 0);
    for (x, y, pixel) in pixels.enumerate_pixels() {
        if pixel.0[3] > 0 {
            (left, top) = (left.min(x), top.min(y));
            (right, bottom) = (right.max(x), bottom.max(y));
        }
    }
    if left > right {
        return pixels.clone();
    }
    imageops::crop_imm(pixels, left, top, right - left + 1, bottom - top + 1).to_image()
}

/// Decodes, works and encodes at one go: what is decoded takes memory until all is done, and nobody waits for more with it in
/// hand.
async fn make<const N: usize>(
    note: String,
    images: [EncodedImage; N],
    work: impl FnOnce([RgbaImage; N]) -> RgbaImage + Send + 'static,
) -> Result<MadeImage, ImageError> {
    let pixels = pixels::count(&images);
    let made = pixels::off_thread(pixels, move || {
        let mut decoded = Vec::with_capacity(N);
        for (number, image) in (1..).zip(&images) {
            match pixels::decode(image) {
                Ok(image) => decoded.push(image),
                Err(error) => return Ok(Err(unreadable(number, error))),
            }
        }
        let decoded = decoded.try_into().expect("each image was decoded");
        let image = pixels::encode_png(work(decoded))?;
        Ok(Ok(MadeImage {
            image,
            note: Some(note),
        }))
    });
    made.await.unwrap_or_else(|error| Err(unreadable(1, error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgba;

    const WHITE: Rgba<u8> = Rgba([255, 255, 255, 255]);
    const RED: Rgba<u8> = Rgba([200, 20, 30, 255]);
    const GREY: Rgba<u8> = Rgba([120, 120, 120, 255]);

    fn png(pixels: &RgbaImage) -> EncodedImage {
        pixels::encode_png(pixels.clone()).unwrap()
    }

    async fn make(
        prompt: &str,
        images: &[EncodedImage],
    ) -> Result<(RgbaImage, String), ImageError> {
        let request = ImageRequest::new(prompt, images.iter().cloned());
        let made = LocalImageModel.make(&request).await?;
        assert_eq!(
            (made.usage.provider.as_str(), made.usage.images),
            ("local", 1)
        );
        Ok((
            pixels::decode(&made.value.image).unwrap(),
            made.value.note.unwrap(),
        ))
    }

    #[tokio::test]
    async fn a_product_is_placed_on_the_mannequin_without_its_background() {
        let product = RgbaImage::from_fn(40, 40, |x, y| {
            if (10..30).contains(&x) && (10..30).contains(&y) {
                RED
            } else {
                WHITE
            }
        });
        let mannequin = RgbaImage::from_pixel(100, 200, GREY);
        let images = [png(&product), png(&mannequin)];
        let (dressed, note) = make("Dress the mannequin.", &images).await.unwrap();
        assert_eq!(dressed.dimensions(), (100, 200));
        assert_eq!(*dressed.get_pixel(50, 100), RED);
        assert_eq!(*dressed.get_pixel(5, 100), GREY);
        assert_eq!(*dressed.get_pixel(50, 20), GREY);
        assert!(!dressed.pixels().any(|pixel| *pixel == WHITE));
        assert!(note.contains("without a model"), "{note}");
        let (again, _) = make("Dress the mannequin.", &images).await.unwrap();
        assert_eq!(again, dressed);
    }

    #[tokio::test]
    async fn work_that_has_begun_needs_no_more_memory() {
        use std::sync::mpsc;
        let images = [
            png(&RgbaImage::from_pixel(8, 8, RED)),
            png(&RgbaImage::from_pixel(16, 16, GREY)),
        ];
        // All memory is taken; next in line is who dresses, and then again somebody who takes it all.
        let all_of_it = || {
            let (let_go, held) = mpsc::channel::<()>();
            let (begun, has_begun) = tokio::sync::oneshot::channel();
            let taking = pixels::off_thread(u64::MAX, move || {
                let _ = begun.send(());
                Ok(held.recv().is_ok())
            });
            (tokio::spawn(taking), has_begun, let_go)
        };
        let (first, first_has_begun, let_go_first) = all_of_it();
        first_has_begun.await.unwrap();
        let dressing = tokio::spawn(async move { make("Dress it.", &images).await.map(drop) });
        let (second, second_has_begun, let_go_second) = all_of_it();
        tokio::task::yield_now().await;
        let_go_first.send(()).unwrap();
        assert!(first.await.unwrap().unwrap());
        second_has_begun.await.unwrap();
        let dressed = tokio::time::timeout(std::time::Duration::from_secs(30), dressing).await;
        let dressed = dressed.expect("it does not wait for memory a second time");
        dressed.unwrap().unwrap();
        let_go_second.send(()).unwrap();
        assert!(second.await.unwrap().unwrap());
    }

    #[tokio::test]
    async fn a_tone_is_changed_as_the_prompt_says() {
        let image = [png(&RgbaImage::from_pixel(4, 4, GREY))];
        let (bright, note) = make("Make it brighter and warmer, please.", &image)
            .await
            .unwrap();
        let [r, _, b, _] = bright.get_pixel(0, 0).0;
        assert!(r > 150 && b < r, "{r} {b}");
        assert_eq!(
            note,
            "local provider: made brighter, warmer, without a model"
        );
        let red = [png(&RgbaImage::from_pixel(4, 4, RED))];
        let (grey, _) = make("A black and white picture", &red).await.unwrap();
        let [r, g, b, _] = grey.get_pixel(0, 0).0;
        assert!(r == g && g == b, "{r} {g} {b}");
    }

    #[tokio::test]
    async fn what_it_cannot_do_it_says() {
        let image = [png(&RgbaImage::from_pixel(4, 4, GREY))];
        let error = make("Add a unicorn.", &image).await.unwrap_err();
        assert!(error.to_string().contains("follow this prompt"), "{error}");
        let error = make("A unicorn.", &[]).await.unwrap_err();
        assert!(error.to_string().contains("GEMINI_API_KEY"), "{error}");
        let broken = EncodedImage::new(png(&RgbaImage::from_pixel(4, 4, RED)).bytes().slice(..30));
        let images = [image[0].clone(), broken.unwrap()];
        let error = make("Dress it.", &images).await.unwrap_err();
        assert_eq!(error.to_string(), "image 2 cannot be read");
    }
}
