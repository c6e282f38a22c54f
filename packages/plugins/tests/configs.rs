//! What nodes can set, and what is said against it.

mod studio;

use serde_json::{Value, json};
use studio::Studio;
use studio233_plugins::Executor;

#[tokio::test]
async fn the_studios_plugins_are_these() {
    let studio = Studio::new().await;
    let list: Vec<_> = studio
        .registry
        .list()
        .map(|plugin| {
            (
                plugin.id(),
                plugin.version(),
                plugin.executor(),
                plugin.accepts().len(),
            )
        })
        .collect();
    let native = |id, kinds| (id, "1.0.0", Executor::Native, kinds);
    assert_eq!(
        list,
        [
            native("background-removal", 1),
            native("format-conversion", 1),
            native("image-reframe", 1),
            native("image-resize", 1),
            native("image-upscale", 1),
            native("media-input", 3),
            native("media-output", 3),
            native("palette-extraction", 1),
            ("python-script", "1.0.0", Executor::PythonE2b, 3),
        ]
    );
    assert!(studio.registry.get("image-melt").is_none());
}

#[tokio::test]
async fn schemas_say_names_defaults_and_ranges() {
    let studio = Studio::new().await;
    let schemas: serde_json::Map<String, Value> = studio
        .registry
        .list()
        .map(|plugin| {
            (
                plugin.id().to_owned(),
                plugin.config_schema()["properties"].clone(),
            )
        })
        .collect();
    insta::assert_json_snapshot!(schemas);
}

#[tokio::test]
async fn no_config_is_the_defaults() {
    let studio = Studio::new().await;
    for plugin in studio
        .registry
        .list()
        .filter(|plugin| plugin.id() != "python-script")
    {
        plugin.check_config(None).unwrap();
        let unknown = json!({"somethingElse": {"of": "the editor's"}});
        plugin.check_config(unknown.as_object()).unwrap();
    }
}

#[tokio::test]
async fn every_bad_place_of_a_config_is_named() {
    let studio = Studio::new().await;
    let cases = [
        (
            "image-resize",
            json!({"width": 0, "height": "tall", "fitMode": "squeeze", "quality": 101, "outputFormat": 3}),
            "fitMode: expected \"contain\" or \"cover\" or \"stretch\" or \"scale-down\", found \"squeeze\"; \
             height: expected an integer or null, found a string; \
             outputFormat: expected \"original\" or \"png\" or \"jpeg\" or \"webp\", found 3; \
             quality: expected at most 100, found 101; \
             width: expected at least 1, found 0",
        ),
        (
            "media-input",
            json!({"maxFiles": 101, "maxSizePerFileMb": 0.5}),
            "maxFiles: expected at most 100, found 101; maxSizePerFileMb: expected an integer, found 0.5",
        ),
        (
            "image-upscale",
            json!({"scale": 4.5, "maxDimension": 100}),
            "maxDimension: expected at least 512, found 100; scale: expected at most 4, found 4.5",
        ),
        (
            "image-reframe",
            json!({"targetWidth": 0, "strategy": "guess"}),
            "strategy: expected \"cover\" or \"contain\" or \"attention\", found \"guess\"; \
             targetWidth: expected at least 1, found 0",
        ),
        (
            "palette-extraction",
            json!({"colors": 2}),
            "colors: expected at least 3, found 2",
        ),
        (
            "palette-extraction",
            json!({"colors": 13}),
            "colors: expected at most 12, found 13",
        ),
        (
            "format-conversion",
            json!({"targetFormat": "gif"}),
            "targetFormat: expected \"png\" or \"jpeg\" or \"webp\", found \"gif\"",
        ),
        (
            "format-conversion",
            json!({"background": "white"}),
            "background: \"white\" is no colour; write it like `#ffffff`",
        ),
        (
            "background-removal",
            json!({"provider": "magic", "apiKey": 7}),
            "apiKey: expected a string or null, found 7; \
             provider: expected \"auto\" or \"fal\" or \"gemini\", found \"magic\"",
        ),
        (
            "python-script",
            json!({"args": ["a", 1]}),
            "args[1]: expected a string, found 1; scriptRef: expected a string, but it is missing",
        ),
        (
            "python-script",
            json!({"scriptRef": "x", "env": {"A-B": "1", "_OK1": "x", "2": ""}}),
            "env.2: a variable's name has letters, digits and underscores only; \
             env.A-B: a variable's name has letters, digits and underscores only",
        ),
    ];
    for (plugin, config, expected) in cases {
        let handle = studio.registry.get(plugin).unwrap();
        let error = handle.check_config(config.as_object()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("the config of {plugin} is wrong: {expected}")
        );
        let ran = studio.run(plugin, config, Vec::new()).await.unwrap_err();
        assert!(!ran.is_retriable());
    }
}

#[tokio::test]
async fn the_ends_of_each_range_are_taken() {
    let studio = Studio::new().await;
    for (plugin, config) in [
        (
            "media-input",
            json!({"maxFiles": 1, "maxSizePerFileMb": 500}),
        ),
        (
            "media-input",
            json!({"maxFiles": 100, "maxSizePerFileMb": 1}),
        ),
        ("image-upscale", json!({"scale": 1, "maxDimension": 512})),
        ("image-upscale", json!({"scale": 4, "maxDimension": 4096})),
        ("palette-extraction", json!({"colors": 3})),
        ("palette-extraction", json!({"colors": 12})),
        (
            "image-resize",
            json!({"quality": 1, "width": null, "height": 16383}),
        ),
        (
            "format-conversion",
            json!({"quality": 100, "background": "#AbCdEf"}),
        ),
    ] {
        let handle = studio.registry.get(plugin).unwrap();
        handle.check_config(config.as_object()).unwrap();
    }
}

#[tokio::test]
async fn keys_and_environments_are_not_shown() {
    let studio = Studio::new().await;
    let removal = studio.registry.get("background-removal").unwrap();
    let config = json!({"provider": "fal", "apiKey": "key-of-someone"});
    assert_eq!(
        Value::Object(removal.redacted_config(config.as_object().unwrap())),
        json!({"provider": "fal", "apiKey": "***"})
    );
    let python = studio.registry.get("python-script").unwrap();
    let config = json!({"scriptRef": "s", "env": {"TOKEN": "of-someone"}});
    assert_eq!(
        Value::Object(python.redacted_config(config.as_object().unwrap())),
        json!({"scriptRef": "s", "env": "***"})
    );
}
