//! Plugins over real files in a real blob store.

mod studio;

use serde_json::{Value, json};
use studio::{Studio, context, media};
use studio233_media::{Format, Limits, decode};
use studio233_plugins::{MediaFile, Output, PluginError};

fn told(output: &Output) -> Vec<Value> {
    let shown = |file: &MediaFile| {
        json!({
            "name": file.name, "type": file.kind, "format": file.format,
            "width": file.width, "height": file.height, "metadata": file.metadata,
        })
    };
    output.files.iter().map(shown).collect()
}

#[tokio::test]
async fn each_plugin_names_types_and_describes_what_it_made() {
    let studio = Studio::new().await;
    let disc = studio.put("disc.png", &media("alpha.png")).await;
    let cases = [
        (
            "image-upscale",
            json!({"scale": 3}),
            "disc_upscaled.png",
            Format::Png,
            (192, 192),
        ),
        (
            "image-reframe",
            json!({"targetWidth": 30, "targetHeight": 50, "strategy": "contain"}),
            "disc_reframed.png",
            Format::Png,
            (30, 50),
        ),
        (
            "image-resize",
            json!({"width": 32}),
            "disc_resized.png",
            Format::Png,
            (32, 32),
        ),
        (
            "image-resize",
            json!({"width": 32, "height": 10, "fitMode": "stretch", "outputFormat": "webp"}),
            "disc_resized.webp",
            Format::Webp,
            (32, 10),
        ),
        (
            "format-conversion",
            json!({"targetFormat": "jpeg"}),
            "disc.jpg",
            Format::Jpeg,
            (64, 64),
        ),
    ];
    for (plugin, config, name, format, (width, height)) in cases {
        let output = studio
            .run(plugin, config, vec![disc.clone()])
            .await
            .unwrap();
        let [file] = output.files.as_slice() else {
            panic!("{plugin}: {output:?}");
        };
        assert_eq!(file.name, name);
        assert_eq!(file.format, format.name(), "{name}");
        assert_eq!(
            (file.width, file.height),
            (Some(width), Some(height)),
            "{name}"
        );
        let metadata = file.metadata.as_ref().unwrap();
        assert_eq!(metadata["processedBy"], plugin);
        assert_eq!(metadata["sourceId"], json!(disc.id));
        assert_eq!(metadata["mimeType"], format.content_type());
        assert_eq!(output.metadata["processedBy"], plugin);

        let bytes = studio.bytes(file).await;
        assert_eq!(bytes.len() as u64, file.size, "{name}");
        assert_eq!(Format::sniff(&bytes), Some(format), "{name}");
        let image = decode(&bytes, &Limits::default()).unwrap();
        assert_eq!((image.width(), image.height()), (width, height), "{name}");
    }
}

#[tokio::test]
async fn a_repeated_run_overwrites_its_own_files_and_no_others() {
    let studio = Studio::new().await;
    let same_name = [
        studio.put("photo.jpg", &media("photo.jpg")).await,
        studio.put("photo.jpg", &media("orientation-6.jpg")).await,
    ];
    let config = json!({"width": 20});
    let first = studio
        .run("image-resize", config.clone(), same_name.to_vec())
        .await
        .unwrap();
    let stored = studio.stored("studio").await;
    assert_eq!(stored.len(), 2);
    let again = studio
        .run("image-resize", config.clone(), same_name.to_vec())
        .await
        .unwrap();
    assert_eq!(again, first);
    assert_eq!(studio.stored("studio").await, stored);
    assert_ne!(first.files[0].id, first.files[1].id);

    let mut other = context();
    other.node_id = "n2".to_owned();
    let handle = studio.registry.get("image-resize").unwrap();
    let elsewhere = handle
        .run(&other, config.as_object(), same_name.to_vec())
        .await
        .unwrap();
    assert_ne!(elsewhere.files[0].url, first.files[0].url);
    assert_eq!(studio.stored("studio").await.len(), 4);
}

#[tokio::test]
async fn names_that_climb_stay_in_their_run() {
    let studio = Studio::new().await;
    let mut file = studio.put("a.png", &media("alpha.png")).await;
    file.name = "../../../etc/pass\u{0}wd.png".to_owned();
    let output = studio
        .run("format-conversion", json!({}), vec![file])
        .await
        .unwrap();
    assert_eq!(output.files[0].name, "passwd.png");
    assert!(
        output.files[0]
            .url
            .starts_with("blob:studio/runs/run-1/n1/0000-")
    );
}

#[tokio::test]
async fn files_come_out_in_the_order_they_came_in() {
    let studio = Studio::new().await;
    let mut files = Vec::new();
    for at in 0..40 {
        let bytes = media(if at % 3 == 0 {
            "photo.jpg"
        } else {
            "alpha.webp"
        });
        files.push(studio.put(&format!("{at}.img"), &bytes).await);
    }
    let output = studio
        .run("image-resize", json!({"width": 8}), files)
        .await
        .unwrap();
    let names: Vec<String> = output.files.iter().map(MediaFile::plain_name).collect();
    let extension = |at| if at % 3 == 0 { "jpg" } else { "webp" };
    let expected: Vec<String> = (0..40)
        .map(|at| format!("{at}_resized.{}", extension(at)))
        .collect();
    assert_eq!(names, expected);
}

#[tokio::test]
async fn an_animation_is_kept_while_its_format_is() {
    let studio = Studio::new().await;
    let gif = studio.put("a.gif", &media("animated.gif")).await;
    let kept = studio
        .run("image-resize", json!({"width": 20}), vec![gif.clone()])
        .await
        .unwrap();
    assert_eq!(kept.files[0].format, "gif");
    assert_eq!(
        (kept.files[0].width, kept.files[0].height),
        (Some(20), Some(12))
    );
    let still = studio
        .run("format-conversion", json!({}), vec![gif])
        .await
        .unwrap();
    assert_eq!(still.files[0].name, "a.png");
}

#[tokio::test]
async fn a_palette_is_told_and_the_files_stay_as_they_are() {
    let studio = Studio::new().await;
    let disc = studio.put("disc.png", &media("alpha.png")).await;
    let output = studio
        .run("palette-extraction", json!({}), vec![disc.clone()])
        .await
        .unwrap();
    assert_eq!(output.files, std::slice::from_ref(&disc));
    assert_eq!(
        Value::Object(output.metadata),
        json!({
            "palettes": [{
                "fileId": disc.id,
                "name": "disc.png",
                "colors": [{"hex": "#dc1e28", "rgb": {"r": 220, "g": 30, "b": 40}, "percentage": 100.0}],
            }],
            "processedBy": "palette-extraction",
        })
    );
}

#[tokio::test]
async fn input_leaves_out_what_is_too_large_or_too_many() {
    let studio = Studio::new().await;
    let file = |name: &str, size: u64| {
        MediaFile::coerce(&json!({"url": "https://x", "name": name, "size": size})).unwrap()
    };
    let megabyte = 1024 * 1024;
    let files = vec![
        file("a", 0),
        file("b", 2 * megabyte + 1),
        file("c", 2 * megabyte),
        file("d", 7),
    ];
    let config = json!({"maxFiles": 2, "maxSizePerFileMb": 2});
    let output = studio
        .run("media-input", config, files.clone())
        .await
        .unwrap();
    let names: Vec<&str> = output.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["a", "c"]);
    assert_eq!(
        Value::Object(output.metadata),
        json!({"received": 4, "accepted": 2, "tooLarge": 1, "tooMany": 1, "processedBy": "media-input"})
    );
    let passed = studio
        .run("media-output", json!({}), files.clone())
        .await
        .unwrap();
    assert_eq!(passed.files, files);
    assert_eq!(told(&passed).len(), 4);
}

#[tokio::test]
async fn an_error_names_the_file_and_what_is_wrong_with_it() {
    let studio = Studio::new().await;
    let good = studio.put("good.png", &media("alpha.png")).await;
    let photo = media("photo.jpg");
    let cases = [
        (
            studio.put("page.png", b"<html>no such page</html>").await,
            "image-resize cannot process page.png: the file is no png, jpeg, webp or gif: \
             it starts with \"<html>no suc\"",
        ),
        (
            studio.put("half.jpg", &photo[..photo.len() / 2]).await,
            "image-resize cannot process half.jpg: the jpeg is cut off after 2518 bytes",
        ),
        (
            studio.put("empty.png", b"").await,
            "image-resize cannot process empty.png: the file is empty",
        ),
        (
            MediaFile::coerce(&json!({"url": "file:///etc/passwd", "name": "p.png"})).unwrap(),
            "image-resize cannot process p.png: its bytes cannot be had: \
             only blob: URLs of the studio are read here",
        ),
        (
            MediaFile::coerce(&json!({"url": "blob:no/such.png", "name": "gone.png"})).unwrap(),
            "image-resize cannot process gone.png: its bytes cannot be had: \
             its blob cannot be read: there is no blob no/such.png",
        ),
        (
            MediaFile::coerce(&json!({"url": "blob:a", "name": "clip.mp4", "type": "video"}))
                .unwrap(),
            "image-resize takes image files; clip.mp4 is of type video",
        ),
        (
            MediaFile::coerce(&json!({"url": "blob:a", "name": "big.png", "size": 1_u64 << 40}))
                .unwrap(),
            "image-resize cannot process big.png: it has 1099511627776 bytes; \
             at most 104857600 are processed",
        ),
    ];
    for (bad, expected) in cases {
        let error = studio
            .run("image-resize", json!({"width": 8}), vec![good.clone(), bad])
            .await
            .unwrap_err();
        assert_eq!(error.message(), expected);
        assert!(!error.is_retriable(), "{expected}");
    }
    // The name is a jpeg's, the bytes are a png: the bytes count.
    let misnamed = studio.put("really.jpg", &media("alpha.png")).await;
    let output = studio
        .run("image-resize", json!({"width": 8}), vec![misnamed])
        .await
        .unwrap();
    assert_eq!(output.files[0].name, "really_resized.png");
}

#[tokio::test]
async fn a_hair_that_would_become_gigabytes_is_refused() {
    let studio = Studio::new().await;
    let photo = studio.put("photo.jpg", &media("photo.jpg")).await;
    let config = json!({"width": 16_000, "height": 16_000, "fitMode": "cover"});
    let error = studio
        .run("image-resize", config, vec![photo])
        .await
        .unwrap_err();
    assert!(matches!(error, PluginError::File { .. }) && !error.is_retriable());
    assert!(
        error.message().ends_with("an image has at most 100000000"),
        "{}",
        error.message()
    );
}
