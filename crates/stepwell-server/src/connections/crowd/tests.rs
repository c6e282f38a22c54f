use super::*;

fn crowd(connections_max: usize) -> Arc<Crowd> {
    Arc::new(Crowd::new(ConnectionLimits {
        connections_max,
        ..ConnectionLimits::default()
    }))
}

fn admit(crowd: &Arc<Crowd>, address: &str) -> Seated<()> {
    let address = address.parse().expect("an address");
    crowd.admit((), address).expect("there is a seat")
}

fn is_cut(seated: &Seated<()>) -> bool {
    seated.seat().cut().is_cancelled()
}

#[tokio::test(start_paused = true)]
async fn who_has_waited_longest_goes_first() {
    let crowd = crowd(3);
    let mut seated = Vec::new();
    for _ in 0..4 {
        seated.push(admit(&crowd, "192.0.2.1"));
        tokio::time::advance(Duration::from_millis(10)).await;
    }
    let cut: Vec<bool> = seated.iter().map(is_cut).collect();
    assert_eq!(cut, [true, false, false, false]);
}

#[tokio::test(start_paused = true)]
async fn who_is_being_answered_stays() {
    let crowd = crowd(2);
    let busy = [admit(&crowd, "192.0.2.1"), admit(&crowd, "192.0.2.1")];
    for busy in &busy {
        busy.seat().take_turn();
    }
    let address = "192.0.2.2".parse().expect("an address");
    assert!(crowd.admit((), address).is_none());
    assert!(!busy.iter().any(is_cut));
    drop(busy);
    assert!(crowd.admit((), address).is_some(), "the seats are free");
}

#[tokio::test(start_paused = true)]
async fn the_address_with_the_most_connections_gives_way() {
    let crowd = crowd(5);
    let quiet = admit(&crowd, "192.0.2.1");
    tokio::time::advance(Duration::from_secs(20)).await;
    // One network, though the addresses differ.
    let many: Vec<_> = (1..=4)
        .map(|host| admit(&crowd, &format!("2001:db8::{host}")))
        .collect();
    let newcomer = admit(&crowd, "192.0.2.3");
    assert!(!is_cut(&quiet) && !is_cut(&newcomer));
    assert_eq!(many.iter().filter(|seated| is_cut(seated)).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_made_no_request_yet_goes_before_whoever_did() {
    let crowd = crowd(2);
    let proven = admit(&crowd, "192.0.2.1");
    proven.seat().take_turn();
    proven.seat().answered();
    tokio::time::advance(Duration::from_secs(10)).await;
    let mute = admit(&crowd, "192.0.2.1");
    tokio::time::advance(Duration::from_secs(1)).await;
    let _newcomer = admit(&crowd, "192.0.2.1");
    assert!(is_cut(&mute) && !is_cut(&proven));
}

#[tokio::test(start_paused = true)]
async fn new_ones_have_a_moment_when_others_have_most_seats() {
    let crowd = crowd(3);
    let proven = [admit(&crowd, "192.0.2.1"), admit(&crowd, "192.0.2.1")];
    for proven in &proven {
        proven.seat().answered();
    }
    tokio::time::advance(Duration::from_millis(10)).await;
    let new = [admit(&crowd, "192.0.2.1"), admit(&crowd, "192.0.2.1")];
    assert!(proven.iter().any(is_cut), "the longest idle goes");
    assert!(!new.iter().any(is_cut));
}

#[tokio::test(start_paused = true)]
async fn each_kind_of_waiting_has_its_limit() {
    let crowd = crowd(10);
    let mute = admit(&crowd, "192.0.2.1");
    let idle = admit(&crowd, "192.0.2.1");
    idle.seat().answered();
    let busy = admit(&crowd, "192.0.2.1");
    busy.seat().take_turn();
    let cut_after = async |seconds| {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        crowd.sweep();
        (is_cut(&mute), is_cut(&idle), is_cut(&busy))
    };
    assert_eq!(cut_after(30).await, (false, false, false));
    assert_eq!(cut_after(1).await, (true, false, false));
    assert_eq!(cut_after(90).await, (true, true, false));
    assert_eq!(cut_after(10_000).await, (true, true, false));
}
