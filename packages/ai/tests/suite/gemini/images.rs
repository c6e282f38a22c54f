//! Images on their way to the service.

use super::*;

/// The images of a request as the service sees them: what they are called, and their files.
fn images_of(asked: &Asked) -> Vec<(String, EncodedImage)> {
    let body = asked.json();
    let parts = body["contents"][0]["parts"].as_array().unwrap().clone();
    let images = parts.iter().filter_map(|part| {
        let data = part.get("inlineData")?;
        let mime_type = data["mimeType"].as_str()?;
        let url = format!("data:{mime_type};base64,{}", data["data"].as_str()?);
        let image = EncodedImage::from_data_url(&url).unwrap();
        Some((mime_type.to_owned(), image))
    });
    images.collect()
}

/// A picture that hardly packs.
fn noise(side: u32, has_alpha: bool) -> EncodedImage {
    let mut state = 1_u32;
    let mut picture = RgbaImage::new(side, side);
    for pixel in picture.pixels_mut() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let [r, g, b, a] = state.to_be_bytes();
        pixel.0 = [r, g, b, if has_alpha { a } else { 255 }];
    }
    let mut file = Cursor::new(Vec::new());
    picture.write_to(&mut file, ImageFormat::Png).unwrap();
    EncodedImage::new(file.into_inner()).unwrap()
}

#[tokio::test]
async fn images_are_brought_into_what_the_service_takes() {
    const GIF: &[u8] = include_bytes!("../../../../media/tests/files/animated.gif");
    const PHOTO: &[u8] = include_bytes!("../../../../media/tests/files/photo.jpg");
    let gif = EncodedImage::new(GIF).unwrap();
    let photo = EncodedImage::new(PHOTO).unwrap();
    let large = [noise(1600, false), noise(1600, true)];
    let all: usize = large.iter().map(|image| image.bytes().len()).sum();
    assert!(all > INLINE_BYTES_MAX, "{all}");

    let answer = || says(r#"{"pass": true, "issues": []}"#);
    let server = Server::start([answer(), answer()]).await;
    let gemini = gemini(&server);
    ask(&gemini, &question().images([gif, photo.clone()]))
        .await
        .unwrap();
    let images = large.into_iter().chain([photo.clone()]);
    ask(&gemini, &question().images(images)).await.unwrap();

    let asked = server.asked();
    let first = images_of(&asked[0]);
    assert_ne!(first[0].0, "image/gif");
    assert_eq!(first[0].0, first[0].1.kind().content_type());
    assert_eq!(first[1].1, photo, "byte for byte");
    let second = images_of(&asked[1]);
    let all: usize = second.iter().map(|(_, image)| image.bytes().len()).sum();
    assert!(all <= INLINE_BYTES_MAX, "{all}");
    let kinds: Vec<&str> = second.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["image/jpeg", "image/png", "image/jpeg"]);
    assert_eq!(second[2].1, photo, "byte for byte");
}

#[tokio::test]
async fn a_gif_arrives_exactly_in_another_format() {
    const GIF: &str =
        "data:image/gif;base64,R0lGODlhAQABAIAAAP8AAP///yH5BAAAAAAALAAAAAABAAEAAAICRAEAOw==";
    let analysis = json!({"global_context": {"scene_description": "A red dot."}});
    let server = Server::start([says(&analysis.to_string())]).await;
    let request = VisionRequest {
        image: EncodedImage::from_data_url(GIF).unwrap(),
        mode: Mode::Quick,
    };
    gemini(&server).analyse(&request).await.unwrap();
    let sent = images_of(&server.asked()[0]);
    assert_eq!((sent.len(), sent[0].0.as_str()), (1, "image/png"));
    let seen = image::load_from_memory(sent[0].1.bytes()).unwrap();
    assert_eq!(seen.into_rgba8().get_pixel(0, 0).0, [255, 0, 0, 255]);
}

#[tokio::test]
async fn a_verdict_is_given_on_images_that_are_too_large_together() {
    let server = Server::start([says(r#"{"pass": true, "issues": []}"#)]).await;
    let comparison = Comparison {
        original: noise(1650, false),
        reference: png(false),
        result: noise(1650, false),
    };
    assert!(comparison.original.bytes().len() * 2 > INLINE_BYTES_MAX);
    let verifier = ModelVerifier::new(std::sync::Arc::new(gemini(&server)));
    assert!(verifier.verify(&comparison).await.unwrap().value.pass);
    let sent = images_of(&server.asked()[0]);
    let bytes: usize = sent.iter().map(|(_, image)| image.bytes().len()).sum();
    assert!(bytes <= INLINE_BYTES_MAX, "{bytes}");
    assert_eq!(sent[1], ("image/png".to_owned(), png(false)));
    for at in [0, 2] {
        let seen = image::load_from_memory(sent[at].1.bytes()).unwrap();
        assert_eq!((seen.width(), seen.height()), (1650, 1650));
    }
}

#[tokio::test]
async fn an_image_that_has_to_be_made_anew_and_cannot_be_read_is_told_without_asking() {
    let server = Server::idle().await;
    let broken = EncodedImage::new(&b"GIF89a and no more"[..]).unwrap();
    let request = question().images([png(false), broken.clone()]);
    let error = ask(&gemini(&server), &request).await.unwrap_err();
    assert!(!error.is_transient());
    let chain = shown(&error);
    assert!(
        chain.starts_with("image 2 cannot be read: the gif is "),
        "{chain}"
    );
    let request = ImageRequest::new("Dress the mannequin.", [broken]);
    let error = gemini(&server).make(&request).await.unwrap_err();
    assert!(!error.is_transient());
    assert_eq!(error.to_string(), "image 1 cannot be read");
    assert!(server.asked().is_empty());
}
