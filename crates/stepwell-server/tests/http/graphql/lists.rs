//! Lists and searches.

use super::{PAGE, ask, run_of, shop, told};
use crate::app::{App, ops, sleep};
use crate::server::{Server, function};
use serde_json::{Value, json};

const RUNS: &str = "query ($filter: RunsFilterV2!, $first: Int! = 100, $after: String,
        $orderBy: [RunsV2OrderBy!]! = [{field: QUEUED_AT, direction: DESC}]) {
    runs(first: $first, after: $after, filter: $filter, orderBy: $orderBy) {
        edges { cursor node { id status queuedAt startedAt endedAt } } pageInfo { startCursor endCursor hasNextPage }
        totalCount(preview: true) } }";

#[tokio::test]
async fn runs_are_found_by_what_they_are_and_by_what_they_got_and_gave() {
    let (server, app) = shop().await;
    let mut runs = Vec::new();
    for (n, name) in ["good", "bad", "slow", "good", "bad"].iter().enumerate() {
        let event = server
            .send(json!({"name": name, "data": {"n": n, "vip": n > 2}}))
            .await;
        if *name != "slow" {
            server.ended(&event).await;
        }
        runs.push(run_of(&server, &event).await);
    }
    app.called(7).await;
    let find = async |filter: Value| {
        let mut filter = filter;
        filter["from"] = "2001-01-01T00:00:00Z".into();
        let data = told(&server, RUNS, json!({"filter": filter})).await;
        let edges = data["runs"]["edges"].as_array().expect("a list").clone();
        let found: Vec<usize> = edges
            .iter()
            .map(|edge| {
                runs.iter()
                    .position(|run| edge["node"]["id"] == **run)
                    .expect("known")
            })
            .collect();
        assert_eq!(data["runs"]["totalCount"], found.len());
        found
    };
    assert_eq!(find(json!({})).await, [4, 3, 2, 1, 0]);
    assert_eq!(
        find(json!({"status": ["FAILED", "RUNNING"]})).await,
        [4, 2, 1]
    );
    assert_eq!(
        find(json!({"query": "event.data.n >= 1 && event.data.n < 4"})).await,
        [3, 2, 1]
    );
    assert_eq!(
        find(json!({"query": "event.data.vip\noutput.n == 1"})).await,
        [3]
    );
    assert_eq!(find(json!({"query": "error != null"})).await, [4, 1]);
    assert_eq!(
        find(json!({"query": "output == null\nevent.name == 'slow'"})).await,
        [2]
    );
    assert_eq!(
        find(json!({"query": "error.message == 'no luck'", "status": ["FAILED"]})).await,
        [4, 1]
    );
    assert_eq!(
        find(json!({"until": "2001-01-02T00:00:00Z"})).await,
        Vec::<usize>::new()
    );
    let functions = told(&server, "{ functions { id slug } apps { id } }", json!({})).await;
    let good = functions["functions"]
        .as_array()
        .unwrap()
        .iter()
        .find(|known| known["slug"] == "shop-good");
    assert_eq!(
        find(json!({"functionIDs": [good.unwrap()["id"]]})).await,
        [3, 0]
    );
    let apps = json!([functions["apps"][0]["id"]]);
    assert_eq!(
        find(json!({"appIDs": apps, "status": ["COMPLETED"]})).await,
        [3, 0]
    );

    let wrong = json!({"filter": {"from": "2001-01-01T00:00:00Z", "query": "result.n == 1"}});
    let refused = ask(&server, RUNS, wrong).await;
    let message = refused["errors"][0]["message"].as_str().expect("a message");
    assert!(message.contains("unknown variable `result`"), "{message}");
}

#[tokio::test]
async fn lists_go_on_where_a_page_ended() {
    let (server, _app) = shop().await;
    let mut events = Vec::new();
    for n in 0..5 {
        let event = server.send(json!({"name": "bad", "data": {"n": n}})).await;
        server.ended(&event).await;
        events.push(event);
    }
    for search in [Value::Null, json!("event.data.n != 3")] {
        let mut found = Vec::new();
        let mut after = Value::Null;
        loop {
            let filter =
                json!({"from": "2001-01-01T00:00:00Z", "timeField": "ENDED_AT", "query": search});
            let order = json!([{"field": "ENDED_AT", "direction": "ASC"}]);
            let variables = json!({"filter": filter, "first": 2, "after": after, "orderBy": order});
            let page = told(&server, RUNS, variables).await["runs"].take();
            found.extend(
                page["edges"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|edge| edge["node"]["id"].clone()),
            );
            if page["pageInfo"]["hasNextPage"] == false {
                break;
            }
            after = page["pageInfo"]["endCursor"].clone();
        }
        assert_eq!(found.len(), if search.is_null() { 5 } else { 4 });
    }
    let list = "query ($after: String, $filter: EventsFilter!) { eventsV2(first: 2, after: $after, filter: $filter) {
        edges { cursor node { id name runs { id status startedAt endedAt function { name slug } } } }
        pageInfo { hasNextPage endCursor startCursor hasPreviousPage } totalCount } }";
    let mut found = Vec::new();
    let mut after = Value::Null;
    loop {
        let filter = json!({
            "from": "2001-01-01T00:00:00Z", "eventNames": ["bad"], "includeInternalEvents": false,
            "query": "event.data.n != 1",
        });
        let page =
            told(&server, list, json!({"after": after, "filter": filter})).await["eventsV2"].take();
        assert_eq!(page["totalCount"], 4);
        found.extend(
            page["edges"]
                .as_array()
                .unwrap()
                .iter()
                .map(|edge| edge["node"]["id"].clone()),
        );
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
    let expected = [4, 3, 2, 0].map(|place: usize| json!(events[place]));
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_search_that_finds_no_rows_ends_its_page_where_it_got_to() {
    let server = Server::start().await;
    let rare = server.send(json!({"name": "rare"})).await;
    let noise: Vec<Value> = (0..500).map(|_| json!({"name": "noise"})).collect();
    for _ in 0..11 {
        let sent = server.post("/e/test", json!(noise).to_string()).await;
        sent.expect(200);
    }
    // More names than are walked one by one.
    let mut names: Vec<String> = (0..40).map(|n| format!("none-{n}")).collect();
    names.push("rare".to_owned());
    let list = format!(
        "query ($after: String, $names: [String!]) {{ eventsV2(after: $after, filter: {{
            from: \"2001-01-01T00:00:00Z\", eventNames: $names, query: \"true\"}}) {{ {PAGE} }} }}"
    );
    let first = told(&server, &list, json!({"names": names})).await["eventsV2"].take();
    assert_eq!(first["edges"], json!([]));
    assert_eq!(first["pageInfo"]["hasNextPage"], true);
    let variables = json!({"names": names, "after": first["pageInfo"]["endCursor"]});
    let second = told(&server, &list, variables).await["eventsV2"].take();
    assert_eq!(second["edges"], json!([{"node": {"id": rare}}]));
    assert_eq!(second["pageInfo"]["hasNextPage"], false);
}

#[tokio::test]
async fn a_search_for_deferred_runs_does_not_walk_all_of_them() {
    let app = App::start(|_| ops(&[sleep("long", "300d")])).await;
    let server = Server::start().await;
    let mut one = function("shop-one", "many", &app.url, 0);
    one["concurrency"] = json!([{"limit": 1}]);
    server.register("shop", &app, &[one]).await;
    let many: Vec<Value> = (0..500).map(|_| json!({"name": "many"})).collect();
    for _ in 0..11 {
        let sent = server.post("/e/test", json!(many).to_string()).await;
        sent.expect(200);
    }
    let list = format!(
        "query ($after: String) {{ runs(after: $after, orderBy: [], filter: {{
            from: \"2001-01-01T00:00:00Z\", isDeferred: true, query: \"true\"}}) {{ {PAGE} }} }}"
    );
    let first = told(&server, &list, json!({})).await["runs"].take();
    assert_eq!(first["edges"], json!([]));
    assert_eq!(first["pageInfo"]["hasNextPage"], true);
    let after = json!({"after": first["pageInfo"]["endCursor"]});
    let second = told(&server, &list, after).await["runs"].take();
    assert_eq!(second["pageInfo"]["hasNextPage"], false);
}
