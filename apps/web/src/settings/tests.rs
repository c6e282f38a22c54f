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
    assert_eq!(settings.port, 9000);

    flags.data = Some(PathBuf::from("/elsewhere"));
    flags.port = Some(0);
    let settings = Settings::resolve(&flags, none).unwrap();
    assert_eq!(settings.data, PathBuf::from("/elsewhere"));
    assert_eq!(settings.port, 0);
}

#[test]
fn nothing_given_is_development_on_the_usual_port() {
    let (_folder, flags) = file("");
    let settings = Settings::resolve(&flags, none).unwrap();
    assert_eq!(settings.port, 8233);
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
fn what_cannot_be_used_is_named() {
    for (text, told) in [
        ("prot = 1", "unknown field `prot`"),
        ("port = 70000", "port = 70000"),
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
