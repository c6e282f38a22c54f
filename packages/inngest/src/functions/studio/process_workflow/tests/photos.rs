//! Photos of all kinds, and files that only look like some.

use crate::functions::studio::fixture::{Studio, media, on_both, request};
use serde_json::json;
use studio233_media::{Format, Limits, decode};
use studio233_plugins::MediaFile;

on_both!(
    photos_of_all_kinds_go_through,
    hostile_files_fail_their_node_with_their_names,
);

async fn photos_of_all_kinds_go_through(studio: Studio) {
    let names = [
        "alpha.png",
        "alpha.webp",
        "animated.gif",
        "cmyk.jpg",
        "gray16.png",
        "indexed.png",
        "orientation-6.jpg",
        "photo.jpg",
        "progressive.jpg",
        "rgb16.png",
    ];
    let mut files = Vec::new();
    for name in names {
        files.push(studio.upload(name, &media(name)).await);
    }
    let nodes = [
        ("in", "media-input", json!({})),
        ("small", "image-resize", json!({"width": 12, "height": 12})),
        (
            "jpeg",
            "format-conversion",
            json!({"targetFormat": "jpeg", "background": "#00ff00"}),
        ),
        ("colours", "palette-extraction", json!({})),
    ];
    let edges = [("in", "small"), ("small", "jpeg"), ("in", "colours")];
    let run = studio.play(&request("r", &nodes, &edges, &files)).await;
    run.assert_completed();
    let output = studio.run("r").await.output.unwrap();
    assert_eq!(output["sinkNodeIds"], json!(["jpeg", "colours"]));
    let made: Vec<MediaFile> = serde_json::from_value(output["finalOutputs"].clone()).unwrap();
    let jpegs = &made[..names.len()];
    for (name, file) in names.iter().zip(jpegs) {
        let bytes = studio.bytes(&file.url).await;
        assert_eq!(Format::sniff(&bytes), Some(Format::Jpeg), "{name}");
        let image = decode(&bytes, &Limits::default()).unwrap();
        assert!(image.width() <= 12 && image.height() <= 12, "{name}");
        assert_eq!(Some(image.width()), file.width, "{name}");
    }
    // What the camera held sideways comes out upright: 48 × 32, red above at the left, white below at the right.
    let at = names.iter().position(|name| *name == "orientation-6.jpg");
    let upright = &jpegs[at.unwrap()];
    assert_eq!((upright.width, upright.height), (Some(12), Some(8)));
    let upright = decode(&studio.bytes(&upright.url).await, &Limits::default()).unwrap();
    let [red, green, blue, _] = upright.pixel(1, 1).unwrap();
    assert!(red > 180 && green < 80 && blue < 80, "{red} {green} {blue}");
    let [red, green, blue, _] = upright.pixel(10, 6).unwrap();
    assert!(
        red > 200 && green > 200 && blue > 200,
        "{red} {green} {blue}"
    );
    // What could be seen through is green now.
    let disc = decode(&studio.bytes(&jpegs[0].url).await, &Limits::default()).unwrap();
    let [red, green, blue, _] = disc.pixels().next().unwrap();
    assert!(green > 200 && red < 60 && blue < 60, "{red} {green} {blue}");
}

async fn hostile_files_fail_their_node_with_their_names(studio: Studio) {
    let photo = media("photo.jpg");
    let mut huge = b"GIF89a".to_vec();
    huge.extend([0x50, 0xc3, 0x50, 0xc3, 0x80, 0, 0, 0, 0, 0, 255, 255, 255]);
    huge.extend([
        0x2c, 0, 0, 0, 0, 0x50, 0xc3, 0x50, 0xc3, 0, 2, 2, 0x44, 1, 0, 0x3b,
    ]);
    let cases: [(&str, &[u8], &str); 5] = [
        (
            "half.jpg",
            &photo[..photo.len() / 2],
            "half.jpg: the jpeg is cut off",
        ),
        (
            "page.png",
            b"<html>no such page</html>",
            "page.png: the file is no png, jpeg, webp or gif",
        ),
        ("empty.webp", b"", "empty.webp: the file is empty"),
        ("huge.gif", &huge, "huge.gif: "),
        (
            "../../etc/passwd",
            b"root:x:0:0",
            "passwd: the file is no png",
        ),
    ];
    for (number, (name, bytes, told)) in cases.into_iter().enumerate() {
        let id = format!("r{number}");
        let good = studio.upload("good.png", &media("alpha.png")).await;
        let bad = studio.upload(name, bytes).await;
        let nodes = [("shrink", "image-resize", json!({"width": 8}))];
        let run = studio.play(&request(&id, &nodes, &[], &[good, bad])).await;
        let told = format!("node \"SHRINK\" (shrink): image-resize cannot process {told}");
        run.assert_failed_with(&told)
            .assert_attempts("step-shrink-execute", 1);
        let nodes = studio.nodes(&id).await;
        assert!(
            nodes[0].starts_with(&format!("shrink FAILED: {told}")),
            "{nodes:?}"
        );
    }
}
