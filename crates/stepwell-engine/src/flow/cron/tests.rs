use super::*;
use stepwell_protocol::AppId;

mod generated;

fn at(text: &str) -> Timestamp {
    let instant: Instant = text.parse().expect("RFC 3339");
    timestamp(instant).expect("since 1970")
}

fn instant(moment: Timestamp) -> Instant {
    Instant::from_millisecond(i64::try_from(moment.ms()).unwrap()).unwrap()
}

fn schedule(expression: &str) -> Schedule {
    Schedule::parse(expression, None).unwrap_or_else(|error| panic!("{expression}: {error}"))
}

/// The ticks after `from`, in UTC.
fn ticks(expression: &str, from: &str, count: usize) -> Vec<String> {
    let schedule = schedule(expression);
    std::iter::successors(schedule.next_after(at(from)), |tick| {
        schedule.next_after(*tick)
    })
    .take(count)
    .map(|tick| instant(tick).to_string())
    .collect()
}

fn check(expression: &str, from: &str, expected: &[&str]) {
    let found = ticks(expression, from, expected.len());
    assert_eq!(found, expected, "{expression} after {from}");
    // What comes next is also what came last.
    let schedule = schedule(expression);
    let mut after = at(from);
    for tick in expected.iter().map(|tick| at(tick)) {
        let just_before = Timestamp::from_ms(tick.ms() - 1);
        assert_eq!(schedule.last_at_or_before(tick, after), Some(tick));
        assert_eq!(schedule.last_at_or_before(just_before, after), None);
        after = tick;
    }
}

#[test]
fn fields() {
    let from = "2026-01-01T00:00:00Z"; // a Thursday
    check(
        "* * * * *",
        from,
        &["2026-01-01T00:01:00Z", "2026-01-01T00:02:00Z"],
    );
    check(
        "0 5 * * 1-5",
        from,
        &[
            "2026-01-01T05:00:00Z",
            "2026-01-02T05:00:00Z",
            "2026-01-05T05:00:00Z",
        ],
    );
    check(
        "*/20 1,3-4 * * *",
        "2026-01-01T01:30:00Z",
        &[
            "2026-01-01T01:40:00Z",
            "2026-01-01T03:00:00Z",
            "2026-01-01T03:20:00Z",
            "2026-01-01T03:40:00Z",
            "2026-01-01T04:00:00Z",
        ],
    );
    check(
        "5-30/10 0 * * *",
        from,
        &[
            "2026-01-01T00:05:00Z",
            "2026-01-01T00:15:00Z",
            "2026-01-01T00:25:00Z",
            "2026-01-02T00:05:00Z",
        ],
    );
    check(
        "40/10 0 * * *",
        from,
        &[
            "2026-01-01T00:40:00Z",
            "2026-01-01T00:50:00Z",
            "2026-01-02T00:40:00Z",
        ],
    );
    check(
        "*/60 * * * *",
        from,
        &["2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z"],
    );
    check(
        "59 23 31 dec ?",
        from,
        &["2026-12-31T23:59:00Z", "2027-12-31T23:59:00Z"],
    );
    check(
        "0 0 1 FEB,Jun-AUG *",
        from,
        &[
            "2026-02-01T00:00:00Z",
            "2026-06-01T00:00:00Z",
            "2026-07-01T00:00:00Z",
            "2026-08-01T00:00:00Z",
        ],
    );
    check(
        "  0   0 * *\tMon,wed ",
        from,
        &["2026-01-05T00:00:00Z", "2026-01-07T00:00:00Z"],
    );
}

#[test]
fn sunday_is_0_and_7() {
    let sundays = ["2026-01-04T00:00:00Z", "2026-01-11T00:00:00Z"];
    for weekday in ["0", "7", "SUN", "7-7", "7/2"] {
        check(
            &format!("0 0 * * {weekday}"),
            "2026-01-01T00:00:00Z",
            &sundays,
        );
    }
    let weekend = [
        "2026-01-03T00:00:00Z",
        "2026-01-04T00:00:00Z",
        "2026-01-10T00:00:00Z",
    ];
    check("0 0 * * 6-7", "2026-01-01T00:00:00Z", &weekend);
}

#[test]
fn both_days_restricted_means_either() {
    let from = "2026-01-01T00:00:00Z";
    check(
        "0 0 13 * FRI",
        from,
        &[
            "2026-01-02T00:00:00Z",
            "2026-01-09T00:00:00Z",
            "2026-01-13T00:00:00Z",
            "2026-01-16T00:00:00Z",
        ],
    );
    check(
        "0 0 */15 * FRI",
        from,
        &[
            "2026-01-02T00:00:00Z",
            "2026-01-09T00:00:00Z",
            "2026-01-16T00:00:00Z",
            "2026-01-23T00:00:00Z",
            "2026-01-30T00:00:00Z",
            "2026-01-31T00:00:00Z",
        ],
    );
    check("0 0 */1 * FRI", from, &["2026-01-02T00:00:00Z"]);
    check("0 0 13 * ?", from, &["2026-01-13T00:00:00Z"]);
}

#[test]
fn rare_days_are_found_and_impossible_ones_are_not() {
    check(
        "0 0 29 2 *",
        "2096-02-29T00:00:00Z",
        &["2104-02-29T00:00:00Z", "2108-02-29T00:00:00Z"],
    );
    let never = schedule("0 0 30 2 *");
    assert_eq!(never.next_after(at("2026-01-01T00:00:00Z")), None);
    assert_eq!(
        never.last_at_or_before(at("2026-01-01T00:00:00Z"), Timestamp::from_ms(0)),
        None
    );
    // The same day with a weekday has ticks.
    check(
        "0 0 30 2 MON",
        "2026-01-31T00:00:00Z",
        &["2026-02-02T00:00:00Z"],
    );
}

#[test]
fn moments_inside_a_minute() {
    let schedule = schedule("*/5 * * * *");
    let tick = at("2026-01-01T00:05:00Z");
    for (moment, next) in [
        ("2026-01-01T00:04:59.999Z", "2026-01-01T00:05:00Z"),
        ("2026-01-01T00:05:00Z", "2026-01-01T00:10:00Z"),
        ("2026-01-01T00:05:00.001Z", "2026-01-01T00:10:00Z"),
    ] {
        assert_eq!(schedule.next_after(at(moment)), Some(at(next)), "{moment}");
    }
    assert_eq!(
        schedule.last_at_or_before(at("2026-01-01T00:09:59.999Z"), Timestamp::from_ms(0)),
        Some(tick)
    );
    assert_eq!(
        schedule.last_at_or_before(at("2026-01-01T00:09:59.999Z"), tick),
        None
    );
}

#[test]
fn the_ends_of_time() {
    let schedule = schedule("TZ=Pacific/Auckland * * * * *");
    let end = Timestamp::from_ms(u64::MAX);
    assert_eq!(schedule.next_after(end), None);
    assert!(
        schedule.last_at_or_before(end, at("2026-01-01T00:00:00Z")) > Some(Timestamp::default())
    );
    assert_eq!(
        schedule.next_after(Timestamp::from_ms(0)),
        Some(Timestamp::from_ms(60_000))
    );
    assert_eq!(
        schedule.last_at_or_before(Timestamp::from_ms(1), Timestamp::from_ms(0)),
        None
    );
}

#[test]
fn zones() {
    check(
        "0 5 * * *",
        "2026-07-01T00:00:00Z",
        &["2026-07-01T05:00:00Z"],
    );
    for prefix in ["TZ", "CRON_TZ"] {
        check(
            &format!("{prefix}=Europe/Paris 0 5 * * *"),
            "2026-03-27T12:00:00Z",
            &[
                "2026-03-28T04:00:00Z",
                "2026-03-29T03:00:00Z",
                "2026-03-30T03:00:00Z",
            ],
        );
    }
    check(
        "TZ=Asia/Kathmandu 0 0 * * *",
        "2026-01-01T00:00:00Z",
        &["2026-01-01T18:15:00Z"],
    );
    assert_eq!(
        schedule("TZ=Europe/Paris  0 5 * * * ").source(),
        "TZ=Europe/Paris  0 5 * * * "
    );
}

#[test]
fn a_tick_in_a_spring_gap_happens_once_right_after_it() {
    // 02:00 to 03:00 on 29 March 2026 do not exist in Paris.
    check(
        "TZ=Europe/Paris 30 2 * * *",
        "2026-03-28T00:00:00Z",
        &[
            "2026-03-28T01:30:00Z",
            "2026-03-29T01:00:00Z",
            "2026-03-30T00:30:00Z",
        ],
    );
    check(
        "TZ=Europe/Paris */20 2-3 * * *",
        "2026-03-29T00:00:00Z",
        &[
            "2026-03-29T01:00:00Z",
            "2026-03-29T01:20:00Z",
            "2026-03-29T01:40:00Z",
            "2026-03-30T00:00:00Z",
        ],
    );
    check(
        "TZ=Europe/Paris 0,59 * * * *",
        "2026-03-29T00:30:00Z",
        &[
            "2026-03-29T00:59:00Z",
            "2026-03-29T01:00:00Z",
            "2026-03-29T01:59:00Z",
        ],
    );
    // A gap at midnight, and one of a whole day.
    check(
        "TZ=America/Sao_Paulo 0 0 * * *",
        "2018-11-03T12:00:00Z",
        &["2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"],
    );
    check(
        "TZ=Pacific/Apia 0 12 * * *",
        "2011-12-29T12:00:00Z",
        &[
            "2011-12-29T22:00:00Z",
            "2011-12-30T10:00:00Z",
            "2011-12-30T22:00:00Z",
        ],
    );
}

#[test]
fn a_tick_of_a_fixed_hour_in_an_autumn_overlap_happens_the_first_time_only() {
    // 02:00 to 03:00 on 25 October 2026 come twice in Paris: from 00:00 and from 01:00 UTC.
    check(
        "TZ=Europe/Paris 30 2 * * *",
        "2026-10-24T12:00:00Z",
        &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
    );
    for hours in ["0-23", "*/2", "1,2,3"] {
        check(
            &format!("TZ=Europe/Paris 30 {hours} * * *"),
            "2026-10-25T00:15:00Z",
            &["2026-10-25T00:30:00Z"],
        );
        let schedule = schedule(&format!("TZ=Europe/Paris 30 {hours} * * *"));
        let next = schedule.next_after(at("2026-10-25T00:30:00Z"));
        assert!(
            next >= Some(at("2026-10-25T02:00:00Z")),
            "{hours}: {next:?}"
        );
    }
    let half_past_two = schedule("TZ=Europe/Paris 30 2 * * *");
    let start = Timestamp::from_ms(0);
    // Asked during the second 02:15, the tick at 02:30 has been.
    assert_eq!(
        half_past_two.last_at_or_before(at("2026-10-25T01:15:00Z"), start),
        Some(at("2026-10-25T00:30:00Z"))
    );
    assert_eq!(
        half_past_two.next_after(at("2026-10-25T01:15:00Z")),
        Some(at("2026-10-26T01:30:00Z"))
    );
    // Asked during the first 02:15, it has not.
    assert_eq!(
        half_past_two.last_at_or_before(at("2026-10-25T00:15:00Z"), start),
        Some(at("2026-10-24T00:30:00Z"))
    );
    // Half an hour's overlap.
    check(
        "TZ=Australia/Lord_Howe 45 1 * * *",
        "2026-04-04T00:00:00Z",
        &["2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"],
    );
}

#[test]
fn a_schedule_of_every_hour_goes_on_through_an_autumn_overlap() {
    for hours in ["*", "*/1", "?"] {
        check(
            &format!("TZ=Europe/Paris */20 {hours} * * *"),
            "2026-10-24T23:45:00Z",
            &[
                "2026-10-25T00:00:00Z",
                "2026-10-25T00:20:00Z",
                "2026-10-25T00:40:00Z",
                "2026-10-25T01:00:00Z",
                "2026-10-25T01:20:00Z",
                "2026-10-25T01:40:00Z",
                "2026-10-25T02:00:00Z",
            ],
        );
    }
    check(
        "TZ=Europe/Paris 30 * * * *",
        "2026-10-24T23:45:00Z",
        &[
            "2026-10-25T00:30:00Z",
            "2026-10-25T01:30:00Z",
            "2026-10-25T02:30:00Z",
        ],
    );
    // Only the half hour from 01:30 comes twice.
    check(
        "TZ=Australia/Lord_Howe */15 * 5 4 *",
        "2026-04-04T14:14:59Z",
        &[
            "2026-04-04T14:15:00Z",
            "2026-04-04T14:30:00Z",
            "2026-04-04T14:45:00Z",
            "2026-04-04T15:00:00Z",
            "2026-04-04T15:15:00Z",
            "2026-04-04T15:30:00Z",
        ],
    );
    check(
        "TZ=Europe/Paris 30 * 25 10 *",
        "2026-10-25T22:00:00Z",
        &["2026-10-25T22:30:00Z", "2027-10-24T22:30:00Z"],
    );
    let once_in_years = schedule("TZ=Europe/Paris 59 * 25 10 0");
    assert_eq!(
        once_in_years.last_at_or_before(at("2026-10-25T01:30:00Z"), Timestamp::from_ms(0)),
        Some(at("2026-10-25T00:59:00Z"))
    );
    assert_eq!(
        once_in_years.last_at_or_before(at("2026-10-25T01:59:00Z"), Timestamp::from_ms(0)),
        Some(at("2026-10-25T01:59:00Z"))
    );
}

#[test]
fn what_was_missed_is_one_tick_however_long_ago() {
    let schedule = schedule("* * * * *");
    assert_eq!(
        schedule.last_at_or_before(at("2926-01-01T12:34:56Z"), at("1970-01-01T00:00:00Z")),
        Some(at("2926-01-01T12:34:00Z"))
    );
}

#[test]
fn jitter_delays_by_the_same_every_time() {
    let slug = |slug| FunctionId::of(AppId::of("app"), slug);
    let tick = at("2026-01-01T00:00:00Z");
    for none in [None, Some(""), Some("0"), Some("0s")] {
        let schedule = Schedule::parse("* * * * *", none).unwrap();
        assert_eq!(schedule.fire_at(slug("a"), tick), tick);
    }
    let jittered = |jitter, function, tick: Timestamp| {
        let schedule = Schedule::parse("* * * * *", Some(jitter)).unwrap();
        schedule.fire_at(function, tick).ms_since(tick)
    };
    assert_eq!(jittered("1s", slug("a"), tick), 1_000);
    let delays: Vec<u64> = (0..200)
        .map(|minute| jittered("30s", slug("a"), tick.after_ms(minute * 60_000)))
        .collect();
    assert!(delays.iter().all(|delay| (1_000..30_000).contains(delay)));
    assert!(delays.iter().any(|delay| *delay < 8_000));
    assert!(delays.iter().any(|delay| *delay > 23_000));
    assert_eq!(
        jittered("30s", slug("a"), tick),
        jittered("30s", slug("a"), tick)
    );
    assert_ne!(
        jittered("5m", slug("a"), tick),
        jittered("5m", slug("b"), tick)
    );
}

#[test]
fn errors_say_what_is_wrong_where_and_what_would_be_right() {
    let long = format!("0 {} * * *", "1,".repeat(130));
    let cases = [
        ("", None),
        ("TZ=Europe/Paris", None),
        ("0 5 * *", None),
        ("0 0 5 * * 1-5", None),
        ("@daily", None),
        ("TZ=Europe/Paris @every 5m", None),
        ("TZ=Europe/Pari 0 5 * * *", None),
        ("TZ= 0 5 * * *", None),
        ("TZ=Local 0 5 * * *", None),
        ("60 * * * *", None),
        ("* 24 * * *", None),
        ("* * 0 * *", None),
        ("* * 32 * *", None),
        ("* * L * *", None),
        ("* * * 13 *", None),
        ("* * * JANUARY *", None),
        ("* * * * 8", None),
        ("* * * * MON-", None),
        ("* * * * FRI-SUN", None),
        ("* 22-2 * * *", None),
        ("* * * * 7-1", None),
        ("1,,2 * * * *", None),
        ("*/0 * * * *", None),
        ("*/x * * * *", None),
        ("*/5/5 * * * *", None),
        ("+5 * * * *", None),
        ("-5 * * * *", None),
        ("*-5 * * * *", None),
        ("256 * * * *", None),
        (long.as_str(), None),
        ("* * * * *", Some("10")),
        ("* * * * *", Some("999ms")),
        ("* * * * *", Some("5m1ms")),
    ];
    let mut messages = String::new();
    for (expression, jitter) in cases {
        let error = Schedule::parse(expression, jitter).expect_err(expression);
        let expression: String = expression.chars().take(40).collect();
        messages += &match jitter {
            Some(jitter) => format!("{expression} ~ {jitter}\n  {error}\n"),
            None => format!("{expression}\n  {error}\n"),
        };
    }
    insta::assert_snapshot!(messages);
}
