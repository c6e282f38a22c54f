use super::{run_sources, select_event_keys, select_keys};
use crate::sqlite::{self, Options};
use crate::{RunFilter, RunQuery, RunTime};
use rusqlite::Connection;
use stepwell_engine::RunStatus;
use stepwell_protocol::FunctionId;

fn plan(connection: &Connection, sql: &str) -> Vec<String> {
    let plan = format!("explain query plan {sql}");
    let mut statement = connection.prepare(&plan).expect("the plan is asked for");
    let steps = statement
        .raw_query()
        .mapped(|row| row.get::<_, String>("detail"));
    steps.collect::<Result<_, _>>().expect("the plan is read")
}

fn database() -> (tempfile::TempDir, Connection) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("stepwell.db");
    drop(sqlite::open(&Options::new(&path)).expect("the store opens"));
    let connection = Connection::open(&path).expect("the file opens");
    (folder, connection)
}

#[test]
fn lists_of_runs_are_walked_along_an_index_and_never_sorted() {
    let (_folder, connection) = database();
    let function = FunctionId::from_bytes([1; 16]);
    let of = |functions: Option<Vec<FunctionId>>, statuses: &[RunStatus], order| RunQuery {
        filter: RunFilter {
            functions,
            statuses: statuses.to_vec(),
            ..RunFilter::default()
        },
        order,
        ..RunQuery::newest(10)
    };
    use RunStatus::{Completed, Failed, Running};
    let cases = [
        (
            of(None, &[], RunTime::Queued),
            vec!["USING PRIMARY KEY (id>? AND id<?)"],
        ),
        (
            of(None, &[Completed, Failed], RunTime::Queued),
            vec!["USING PRIMARY KEY (id>? AND id<?)"],
        ),
        (
            of(
                Some(vec![function, FunctionId::from_bytes([2; 16])]),
                &[],
                RunTime::Queued,
            ),
            vec!["USING INDEX runs_function (function_id=? AND id>? AND id<?)"; 2],
        ),
        (
            of(Some(vec![function]), &[Failed, Running], RunTime::Queued),
            vec![
                "USING INDEX runs_unfinished (id>? AND id<?)",
                "USING INDEX runs_otherwise (status=? AND id>? AND id<?)",
            ],
        ),
        (
            of(None, &[], RunTime::Started),
            vec!["USING INDEX runs_started (started_at>? AND started_at<?)"],
        ),
        (
            of(None, &[], RunTime::Ended),
            vec!["USING INDEX runs_ended (ended_at>? AND ended_at<?)"],
        ),
    ];
    for (mut query, expected) in cases {
        for oldest_first in [false, true] {
            query.oldest_first = oldest_first;
            let plans: Vec<String> = run_sources(&query)
                .into_iter()
                .flat_map(|(part, _)| plan(&connection, &select_keys(&query, part)))
                .collect();
            let expected: Vec<String> = expected
                .iter()
                .map(|index| format!("SEARCH runs {index}"))
                .collect();
            assert_eq!(plans, expected);
        }
    }
}

#[test]
fn lists_of_events_are_walked_along_an_index_and_never_sorted() {
    let (_folder, connection) = database();
    for (of_a_name, expected) in [
        (false, "SEARCH events USING PRIMARY KEY (id>? AND id<?)"),
        (
            true,
            "SEARCH events USING COVERING INDEX events_name (name=? AND id>? AND id<?)",
        ),
    ] {
        assert_eq!(plan(&connection, &select_event_keys(of_a_name)), [expected]);
    }
}
