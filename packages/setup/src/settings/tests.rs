use super::*;

fn none(_: &str) -> Option<String> {
    None
}

fn file(text: &str) -> (tempfile::TempDir, Flags) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("studio233.toml");
    std::fs::write(&path, text).unwrap();
    let flags = Flags {
        config: Some(path),
        ..Flags::default()
    };
    (folder, flags)
}

#[test]
fn a_flag_beats_the_file_and_the_file_beats_the_default() {
    let (folder, mut flags) = file("data = \"things\"\nport = 9000\n");
    let settings = Settings::resolve(&flags, none).unwrap();
    assert_eq!(settings.data, folder.path().join("things"));
    assert_eq!(settings.port, Some(9000));

    flags.data = Some(PathBuf::from("/elsewhere"));
    let settings = Settings::resolve(&flags, none).unwrap();
    assert_eq!(settings.data, PathBuf::from("/elsewhere"));
}

#[test]
fn nothing_given_is_development_without_any_key() {
    let (_folder, flags) = file("");
    let settings = Settings::resolve(&flags, none).unwrap();
    assert_eq!(settings.port, None);
    assert!(settings.providers.are_local());
    assert!(settings.reporting.sentry.is_none() && settings.reporting.webhook.is_none());
    assert_eq!(settings.data, std::env::current_dir().unwrap().join("data"));
    assert_eq!(settings.inngest.mode.as_str(), "dev");
}

#[test]
fn keys_come_from_the_environment_before_the_file() {
    let (_folder, flags) = file("[inngest]\nsigning_key = \"file\"\nevent_key = \"file\"\n");
    let environment = |name: &str| (name == "INNGEST_EVENT_KEY").then(|| "env".to_owned());
    let settings = Settings::resolve(&flags, environment).unwrap();
    assert_eq!(settings.inngest.event_key.as_deref(), Some("env"));
    assert!(settings.inngest.signing_key.is_some());
    assert_eq!(settings.inngest.mode.as_str(), "cloud");
}

#[test]
fn a_blank_variable_hides_nothing() {
    let text = "[ai]\nfal_key = \"of-fal\"\nlanguage_model = \"own\"\ngemini_api_key = \"of-gemini\"\n\
                [inngest]\nsigning_key = \" \"\nevent_key = \"file\"\n";
    let text = format!("blobs = \"things\"\ndatabase_url = \"sqlite:things.db\"\n{text}");
    let (_folder, mut flags) = file(&text);
    flags.blobs = Some(String::new());
    flags.database_url = Some(" ".parse().unwrap());
    let settings = Settings::resolve(&flags, |_| Some(" ".to_owned())).unwrap();
    assert!(settings.database.is_some() && settings.blobs.is_some());
    assert!(settings.providers.fal.is_some());
    let gemini = settings.providers.gemini.unwrap().settings;
    assert_eq!(gemini.language.primary, "own");
    assert_eq!(settings.inngest.event_key.as_deref(), Some("file"));
    assert!(
        settings.inngest.signing_key.is_none(),
        "nor does a blank key of the file count"
    );
}

#[test]
fn what_cannot_be_used_is_named() {
    for (text, told) in [
        ("prot = 1", "unknown field `prot`"),
        (
            "port = 70000",
            "line 1, column 8: invalid value: integer `70000`",
        ),
        ("allow_origins = [\"nowhere\"]", "'nowhere' is no origin"),
        ("[inngest]\nbase_url = \"x\"", "INNGEST_BASE_URL is 'x'"),
    ] {
        let (_folder, flags) = file(text);
        let failure = Settings::resolve(&flags, none).unwrap_err();
        assert!(failure.message.contains(told), "{}", failure.message);
        assert_eq!(failure.code, "configuration");
    }
    let flags = Flags {
        config: Some(PathBuf::from("/nowhere/studio233.toml")),
        ..Flags::default()
    };
    let failure = Settings::resolve(&flags, none).unwrap_err();
    assert!(failure.message.starts_with("/nowhere/studio233.toml: "));
}

#[test]
fn the_database_and_the_blobs_may_be_elsewhere() {
    let (folder, mut flags) = file("database_url = \"sqlite:things.db\"\nblobs = \"things\"\n");
    let settings = Settings::resolve(&flags, none).unwrap();
    let database = settings.database.unwrap();
    assert_eq!(
        database.sqlite_file(),
        Some(&*folder.path().join("things.db"))
    );
    let Some(BlobPlace::Folder(blobs)) = settings.blobs else {
        panic!("no folder");
    };
    assert_eq!(blobs, folder.path().join("things"));

    flags.database_url = Some("postgres://me:secret@host/studio".parse().unwrap());
    flags.blobs = Some("s3://studio/team".to_owned());
    let environment = |name: &str| match name {
        "STUDIO233_S3_ACCESS_KEY_ID" => Some("id".to_owned()),
        "STUDIO233_S3_SECRET_ACCESS_KEY" => Some("secret".to_owned()),
        "STUDIO233_S3_ENDPOINT" => Some("http://127.0.0.1:9000".to_owned()),
        _ => None,
    };
    let settings = Settings::resolve(&flags, environment).unwrap();
    assert!(!format!("{settings:?} {flags:?}").contains("secret"));
    let Some(BlobPlace::Bucket(bucket)) = settings.blobs else {
        panic!("no bucket");
    };
    assert_eq!(
        (bucket.name.as_str(), bucket.region.as_str()),
        ("studio", "us-east-1")
    );
    assert_eq!(bucket.secret_access_key, "secret");
}

#[test]
fn a_bucket_without_keys_says_which_is_missing() {
    let (_folder, flags) = file("blobs = \"s3://studio\"\n[s3]\naccess_key_id = \"id\"\n");
    let failure = Settings::resolve(&flags, none).unwrap_err();
    assert_eq!(
        failure.message,
        "the bucket studio needs STUDIO233_S3_SECRET_ACCESS_KEY"
    );
    let (_folder, flags) = file("blobs = \"s3://studio\"\n[s3]\nkey = \"the-secret\"\n");
    let failure = Settings::resolve(&flags, none).unwrap_err();
    assert_eq!(failure.message, "[s3] has an unknown key `key`");
}

#[test]
fn a_bad_database_url_is_not_repeated() {
    let (_folder, flags) = file("database_url = \"mysql://me:secret@host/studio\"\n");
    let failure = Settings::resolve(&flags, none).unwrap_err();
    assert!(
        failure.message.contains("sqlite:") && !failure.message.contains("secret"),
        "{failure}"
    );
}

#[test]
fn keys_choose_providers_and_the_environment_comes_first() {
    let text =
        "[ai]\ngemini_api_key = \"of-the-file\"\nlanguage_model = \"own\"\nfal_key = \"of-fal\"\n";
    let (_folder, flags) = file(text);
    let environment = |name: &str| match name {
        "GEMINI_API_KEY" => Some("gemini-secret".to_owned()),
        "STUDIO233_IMAGE_MODEL_FALLBACK" => Some("none".to_owned()),
        "LLAMA_CLOUD_API_KEY" => Some(" ".to_owned()),
        _ => None,
    };
    let settings = Settings::resolve(&flags, environment).unwrap();
    assert!(!format!("{settings:?}").contains("secret"));
    let providers = settings.providers;
    assert!(!providers.are_local());
    let gemini = providers.gemini.unwrap().settings;
    assert_eq!(gemini.language.primary, "own");
    assert!(gemini.language.fallback.is_some());
    assert_eq!(gemini.image.fallback, None);
    assert!(providers.fal.is_some());
    assert!(providers.llama_parse.is_none(), "an empty key is none");
}

#[test]
fn what_providers_and_reports_cannot_use_is_named_and_not_repeated() {
    for (text, told) in [
        (
            "[ai]\nfal_key = \"the secret\"",
            "FAL_KEY: the API key contains a character",
        ),
        (
            "[ai]\nkey = \"the-secret\"",
            "[ai] has an unknown key `key`",
        ),
        ("[reports]\nsentry_dsn = \"the-secret\"", "SENTRY_DSN"),
        (
            "[reports]\nwebhook = \"the-secret\"",
            "STUDIO233_ERROR_WEBHOOK",
        ),
        ("[ai]\nfal_key = \"the-secret\n", "line 2, column"),
        (
            "[ai]\nfal_key = [\"the-secret\"]",
            "line 2, column 11: sequence given, expected",
        ),
        (
            "[inngest]\nsigning_key = 5733712",
            "line 2, column 15: integer given, expected",
        ),
    ] {
        let (_folder, flags) = file(text);
        let failure = Settings::resolve(&flags, none).unwrap_err();
        assert!(failure.message.contains(told), "{failure}");
        assert!(!failure.message.contains("secret"), "{failure}");
        assert!(!failure.message.contains("5733712"), "{failure}");
    }
}
