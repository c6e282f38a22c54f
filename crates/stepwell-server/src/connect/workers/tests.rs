use super::*;
use crate::connect::ConnectTimes;

const BYTES: usize = 1_000;

fn function() -> FunctionId {
    FunctionId::of(AppId::of("app"), "app-f")
}

struct World {
    workers: Workers,
    now: Instant,
    ids: u128,
}

impl World {
    fn new() -> Self {
        let now = Instant::now();
        let times = ConnectTimes {
            opening: Duration::ZERO,
            ..ConnectTimes::default()
        };
        Self {
            workers: Workers::new(&times, now),
            now,
            ids: 0,
        }
    }

    /// A ready worker with this version of the app.
    fn add(&mut self, version: Option<&str>) -> Ulid {
        self.ids += 1;
        let id = Ulid(self.ids);
        let group = Group {
            app: AppId::of("app"),
            app_name: "app".to_owned(),
            app_version: version.map(str::to_owned),
            hash: format!("{version:?}"),
            sync_id: Uuid::nil(),
            functions: HashSet::from([function()]),
            sdk_language: String::new(),
            sdk_version: String::new(),
            sdk_platform: String::new(),
            synced_at: self.now,
        };
        let worker = Worker {
            id,
            instance: String::new(),
            outbox: Outbox::detached(),
            status: Status::Ready,
            groups: vec![Arc::new(group)],
            calls_max: None,
            calls: 0,
            heard_at: self.now,
            heartbeat_at: SystemTime::now(),
            sdk_language: String::new(),
            sdk_version: String::new(),
            attributes: SystemAttributes::default(),
            said: None,
        };
        self.workers.add(worker, self.now);
        id
    }

    fn choose(&self, tried: &[Ulid], roll: u32) -> Choice {
        self.workers
            .choose(function(), BYTES, tried, self.now, |_| roll)
    }

    /// How many of all rolls of the dice choose each worker.
    fn shares(&self, ids: &[Ulid]) -> Vec<u32> {
        let mut sides = 0;
        let count = |sides_seen: u32| {
            sides = sides_seen;
            0
        };
        self.workers.choose(function(), BYTES, &[], self.now, count);
        let choices: Vec<Choice> = (0..sides).map(|roll| self.choose(&[], roll)).collect();
        ids.iter()
            .map(|id| {
                let chosen = choices
                    .iter()
                    .filter(|choice| **choice == Choice::Worker(*id));
                u32::try_from(chosen.count()).unwrap()
            })
            .collect()
    }
}

#[test]
fn workers_with_the_newest_version_get_most_calls() {
    for (old, new) in [
        (Some("v1.9.0"), Some("v1.10.0")),
        (Some("3"), Some("4")),
        (Some("1.2"), Some("1.2.1")),
    ] {
        for newest_first in [true, false] {
            let mut world = World::new();
            let (first, second) = if newest_first { (new, old) } else { (old, new) };
            let (first, second) = (world.add(first), world.add(second));
            let expected = if newest_first { [9, 1] } else { [1, 9] };
            assert_eq!(world.shares(&[first, second]), expected, "{old:?} {new:?}");
        }
    }
}

#[test]
fn versions_that_are_no_numbers_are_newer_when_they_came_later() {
    let mut world = World::new();
    let first = world.add(Some("fb1c2d3"));
    world.now += Duration::from_secs(1);
    let second = world.add(Some("0a1b2c3"));
    let third = world.add(Some("0a1b2c3"));
    assert_eq!(world.shares(&[first, second, third]), [1, 9, 9]);
}

#[test]
fn workers_without_a_version_share_alike() {
    let mut world = World::new();
    let (first, second) = (world.add(None), world.add(None));
    assert_eq!(world.shares(&[first, second]), [9, 9]);
}

#[test]
fn only_who_is_ready_and_heard_and_has_room_is_chosen() {
    let mut world = World::new();
    let (first, second) = (world.add(None), world.add(None));
    assert_eq!(world.choose(&[first], 0), Choice::Worker(second));

    let worker = world.workers.get_mut(first).unwrap();
    (worker.calls, worker.calls_max) = (2, Some(2));
    assert_eq!(world.choose(&[], 0), Choice::Worker(second));
    assert_eq!(world.choose(&[second], 0), Choice::Full(AppId::of("app")));
    let worker = world.workers.get_mut(first).unwrap();
    worker.calls = 1;
    assert_eq!(world.choose(&[second], 0), Choice::Worker(first));

    world.workers.drain(second, world.now);
    assert_eq!(world.choose(&[], 0), Choice::Worker(first));
    world.now += Duration::from_secs(19);
    assert_eq!(world.choose(&[], 0), Choice::Worker(first));
    world.now += Duration::from_secs(1);
    assert_eq!(world.choose(&[], 0), Choice::Nobody, "it is not heard");
}

#[test]
fn a_worker_that_has_just_left_is_awaited_for_a_while() {
    let mut world = World::new();
    assert_eq!(world.choose(&[], 0), Choice::Nobody);
    let worker = world.add(None);
    world.now += Duration::from_secs(11);
    world.workers.remove(worker, true, world.now);
    assert_eq!(world.choose(&[], 0), Choice::Awaited);
    world.now += Duration::from_secs(10);
    assert_eq!(world.choose(&[], 0), Choice::Nobody);
    assert!(world.workers.by_function.is_empty());
}

#[test]
fn after_the_start_all_workers_are_awaited() {
    let now = Instant::now();
    let workers = Workers::new(&ConnectTimes::default(), now);
    let choose = |seconds| {
        let then = now + Duration::from_secs(seconds);
        workers.choose(function(), BYTES, &[], then, |_| 0)
    };
    assert_eq!(choose(59), Choice::Awaited);
    assert_eq!(choose(60), Choice::Nobody);
}

#[test]
fn a_group_is_forgotten_when_its_last_worker_has_left_on_purpose_or_long_ago() {
    let mut world = World::new();
    let hash = "Some(\"1\")";
    let (first, second) = (world.add(Some("1")), world.add(Some("1")));
    world.workers.remove(first, true, world.now);
    assert_eq!(world.workers.of_group(hash), [second]);
    world.workers.remove(second, true, world.now);
    assert!(world.workers.group(hash).is_none());

    let worker = world.add(Some("1"));
    world.workers.remove(worker, false, world.now);
    assert!(world.workers.group(hash).is_some());
    world.now += GROUP_KEPT;
    world.add(Some("2"));
    assert!(world.workers.group(hash).is_none());
}
