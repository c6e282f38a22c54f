use super::*;
use clap::FromArgMatches;

/// A folder with files, and what a command line in it comes to.
struct Place {
    folder: tempfile::TempDir,
    surroundings: Surroundings,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let surroundings = Surroundings {
            folder: folder.path().to_owned(),
            ..Surroundings::default()
        };
        Self {
            folder,
            surroundings,
        }
    }

    fn file(self, name: &str, text: &str) -> Self {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("it is in the folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        let (name, value) = (name.to_owned(), value.to_owned());
        self.surroundings.variables.insert(name, value);
        self
    }

    fn resolve(&self, line: &str) -> Result<Resolved, SettingsError> {
        let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        resolve(&crate::cli::command(), &arguments, &self.surroundings)
    }

    /// The values of an option of `dev`.
    fn values(&self, line: &str, id: &str) -> Vec<String> {
        let resolved = self.resolve(line).expect("it resolves");
        crate::cli::Arguments::from_arg_matches(&resolved.matches).expect("it reads");
        let (_, matches) = resolved.matches.subcommand().expect("there is a command");
        let raw = matches.get_raw(id).into_iter().flatten();
        raw.map(|value| value.to_string_lossy().into_owned())
            .collect()
    }

    /// What is wrong, without the folder.
    fn errors(&self, line: &str) -> Vec<String> {
        let folder = format!("{}/", self.folder.path().display());
        match self.resolve(line) {
            Err(SettingsError::Values(errors)) => errors
                .iter()
                .map(|error| error.replace(&folder, ""))
                .collect(),
            other => panic!("expected errors of values, not {other:?}"),
        }
    }
}

#[test]
fn the_line_goes_before_the_environment_and_that_before_the_file() {
    let line = "stepwell dev";
    let place = Place::new();
    assert_eq!(place.values(line, "port"), ["8288"]);
    let place = place.file("stepwell.yaml", "port: 1001\n");
    assert_eq!(place.values(line, "port"), ["1001"]);
    let place = place.variable("INNGEST_PORT", "1002");
    assert_eq!(place.values(line, "port"), ["1002"]);
    let place = place.variable("STEPWELL_PORT", "1003");
    assert_eq!(place.values(line, "port"), ["1003"]);
    assert_eq!(place.values("stepwell dev --port 1004", "port"), ["1004"]);
    // Set to nothing is not set.
    let place = place.variable("STEPWELL_PORT", "");
    assert_eq!(place.values(line, "port"), ["1002"]);
}

#[test]
fn lists_and_truths_are_read_from_everywhere() {
    let yaml = "no-poll: yes\nsdk-url: [http://a/x, http://b/x]\nretry-interval:\nlog: debug\n";
    let json = r#"{"no-poll": true, "sdk-url": ["http://a/x", "http://b/x"], "retry-interval": null, "log": "debug"}"#;
    let toml = "no-poll = true\nsdk-url = [\"http://a/x\", \"http://b/x\"]\nlog = \"debug\"\n";
    for (name, text) in [
        ("stepwell.yaml", yaml),
        ("stepwell.yml", yaml),
        ("stepwell.json", json),
        ("stepwell.toml", toml),
        ("inngest.json", json),
        ("inngest.yaml", yaml),
    ] {
        let place = Place::new().file(name, text);
        let values = |id| place.values("stepwell dev", id);
        assert_eq!(values("no_poll"), ["true"], "{name}");
        assert_eq!(values("sdk_url"), ["http://a/x", "http://b/x"], "{name}");
        assert_eq!(values("retry_interval"), [""; 0], "{name}");
        assert_eq!(values("log"), ["debug"], "{name}");
    }
    let place = Place::new()
        .variable("INNGEST_SDK_URL", "http://a/x, http://b/x")
        .variable("STEPWELL_NO_POLL", "1");
    assert_eq!(
        place.values("stepwell dev", "sdk_url"),
        ["http://a/x", "http://b/x"]
    );
    assert_eq!(place.values("stepwell dev", "no_poll"), ["true"]);
    // What the line says takes the place of a list, and is not added to it.
    assert_eq!(
        place.values("stepwell dev -u http://c/x", "sdk_url"),
        ["http://c/x"]
    );
}

#[test]
fn the_nearest_file_is_read_and_ours_first() {
    let place = Place::new()
        .file("stepwell.yaml", "port: 1\n")
        .file("a/inngest.json", r#"{"port": 2}"#)
        .file("a/b/inngest.yaml", "port: 4\n")
        .file("a/b/stepwell.toml", "port = 3\n")
        .file("home/.config/stepwell/stepwell.yaml", "port: 5\n")
        .file("other.conf", "port: 6\n");
    let root = place.folder.path().to_owned();
    let from = |folder: &str| {
        let surroundings = Surroundings {
            folder: root.join(folder),
            home: Some(root.join("home")),
            ..Surroundings::default()
        };
        let resolved = resolve(
            &crate::cli::command(),
            &["stepwell".into(), "dev".into()],
            &surroundings,
        );
        let file = resolved.expect("it resolves").file.expect("there is one");
        file.strip_prefix(&root)
            .expect("it is below")
            .display()
            .to_string()
    };
    assert_eq!(from("a/b/c"), "a/b/stepwell.toml");
    assert_eq!(from("a"), "a/inngest.json");
    assert_eq!(from("x"), "stepwell.yaml");
    // A file that is named may be called anything.
    let line = "stepwell dev --config other.conf";
    assert_eq!(place.values(line, "port"), ["6"]);
    let place = place.variable("STEPWELL_CONFIG", "other.conf");
    assert_eq!(place.values("stepwell dev", "port"), ["6"]);
    let errors = place.errors("stepwell dev --config none.yaml");
    assert_eq!(errors, ["there is no configuration file none.yaml"]);
}

#[test]
fn errors_name_the_place_and_what_would_be_right() {
    let place = Place::new().file(
        "stepwell.yaml",
        "# ours\nprot: 1\nport: 70000\nsync: often\nport: 3\nhost: [a, b]\nno-poll: maybe\ndb: {file: x}\nzzz: 1\n",
    );
    insta::assert_snapshot!(place.errors("stepwell dev").join("\n"), @r"
    stepwell.yaml:2: unknown key 'prot'; did you mean 'port'?
    stepwell.yaml:5: 'port' is there twice, first in line 3
    stepwell.yaml:9: unknown key 'zzz'; `stepwell <command> --help` lists what there is
    stepwell.yaml:6: host: takes one value, not a list
    stepwell.yaml:3: port: '70000' cannot be used: 70000 is not in 0..=65535
    stepwell.yaml:8: db: takes a value, not keys of its own
    stepwell.yaml:4: sync: 'often' is not one of full, process
    stepwell.yaml:7: no-poll: 'maybe' is neither true nor false
    ");
    let place = Place::new()
        .variable("INNGEST_PORT", "http")
        .variable("STEPWELL_NO_POLL", "maybe");
    insta::assert_snapshot!(place.errors("stepwell dev").join("\n"), @r"
    INNGEST_PORT: 'http' cannot be used: invalid digit found in string
    STEPWELL_NO_POLL: 'maybe' is neither true nor false
    ");
}

#[test]
fn files_that_do_not_parse_say_where() {
    for (name, text, expected) in [
        ("stepwell.yaml", "port: 1\n- x\n", "stepwell.yaml:2: "),
        (
            "stepwell.yaml",
            "just words\n",
            "stepwell.yaml:1: expected keys with values",
        ),
        (
            "stepwell.json",
            "{\"port\": 1,\n\"host\" 2}",
            "stepwell.json:2: ",
        ),
        (
            "stepwell.json",
            "[1]",
            "stepwell.json:1: invalid type: sequence, expected an object",
        ),
        ("stepwell.toml", "port = 1\nhost = \n", "stepwell.toml:2: "),
    ] {
        let errors = Place::new().file(name, text).errors("stepwell dev");
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].starts_with(expected), "{errors:?}");
    }
    let empty = Place::new().file("stepwell.yaml", "# nothing yet\n");
    assert_eq!(empty.values("stepwell dev", "port"), ["8288"]);
}

#[test]
fn files_of_the_original_server_are_read_and_what_would_lose_state_is_refused() {
    let place = Place::new().file(
        "inngest.json",
        r#"{"sqlite-dir": "data", "queue-workers": 7, "connect-gateway-port": 9000, "postgres-max-open-conns": 5}"#,
    );
    assert_eq!(place.values("stepwell start", "sqlite_dir"), ["data"]);
    assert_eq!(place.values("stepwell start", "max_calls"), ["7"]);
    let place = Place::new()
        .file("inngest.json", "{\n\"redis-uri\": \"redis://x\"}")
        .variable("INNGEST_POSTGRES_URI", "postgres://user:secret@x");
    let errors = place.errors("stepwell start").join("\n");
    assert!(
        errors.contains("inngest.json:2: 'redis-uri' cannot be used"),
        "{errors}"
    );
    assert!(
        errors.contains("INNGEST_POSTGRES_URI cannot be used"),
        "{errors}"
    );
    assert!(!errors.contains("secret"), "{errors}");
}

#[test]
fn help_is_not_in_the_way_of_a_broken_file() {
    let place = Place::new().file("stepwell.yaml", "prot: 1\n");
    let resolved = place.resolve("stepwell dev --help");
    assert!(matches!(resolved, Err(SettingsError::Usage(_))));
}
