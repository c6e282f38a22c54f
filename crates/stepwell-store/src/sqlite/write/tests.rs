use super::SqliteWriter;
use crate::sqlite::{Durability, Options, lock, open_writer};
use crate::{Slice, Writer};
use stepwell_engine::{Change, ThrottleRow, Timestamp};

/// SQLite's numbers for what is synced.
const NORMAL: u32 = 1;
const FULL: u32 = 2;

#[test]
fn upkeep_is_synced_by_the_next_commit_and_commits_as_they_were_asked_to_be() {
    for (durability, expected) in [(Durability::Full, FULL), (Durability::Process, NORMAL)] {
        let folder = tempfile::tempdir().expect("a folder");
        let options = Options {
            durability,
            ..Options::new(folder.path().join("stepwell.db"))
        };
        let lock = lock::acquire(&options.path).expect("nobody has it");
        let connection = open_writer(&options).expect("the file opens");
        let mut writer = SqliteWriter::new(connection, durability, lock);
        let synced = |writer: &SqliteWriter| {
            let set = writer
                .connection
                .pragma_query_value(None, "synchronous", |row| row.get::<_, u32>(0));
            set.expect("it says")
        };
        assert_eq!(synced(&writer), expected);
        let change = Change::ThrottlePut(ThrottleRow { key: 1, tat_us: 1 });
        for _ in 0..2 {
            let slice = Slice::whole(Timestamp::default(), Timestamp::default());
            writer.prune(&slice).expect("there is nothing to prune");
            writer.give_back().expect("there is nothing to give back");
            assert_eq!(synced(&writer), NORMAL);
            writer
                .commit(std::slice::from_ref(&change))
                .expect("there is room");
            assert_eq!(synced(&writer), expected);
            writer.give_back().expect("there is nothing to give back");
            writer.probe(0).expect("there is room");
            assert_eq!(synced(&writer), expected);
        }
    }
}
