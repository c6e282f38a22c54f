//! Workers that are connected.

use super::{ask, check, tidied, told};
use crate::server::{Server, function as served};
use crate::worker::{Introduction, Worker, app, function};
use serde_json::{Value, json};

const WORKERS: &str = "query ($first: Int! = 40, $after: String, $filter: ConnectV1WorkerConnectionsFilter,
        $orderBy: [ConnectV1WorkerConnectionsOrderBy!]) {
    workerConnections(first: $first, after: $after, filter: $filter, orderBy: $orderBy) {
        edges { cursor node { id instanceId appName } } totalCount pageInfo { hasNextPage endCursor } } }";

async fn two_workers(server: &Server) -> [Worker; 2] {
    let shop = app("shop", &[function("shop-pay", "pay", 0)]);
    let mail = app(
        "mail",
        &[
            function("mail-send", "send", 0),
            function("mail-sort", "sort", 0),
        ],
    );
    let mut introduced = Introduction::of(server, "first", &[shop.clone(), mail]).await;
    introduced.connect.max_worker_concurrency = Some(7);
    let first = introduced.connect().await;
    [first, Worker::connect(server, "second", &[shop]).await]
}

/// The workers and apps of a page.
fn seen(page: &Value) -> Vec<String> {
    let edges = page["workerConnections"]["edges"].as_array();
    let nodes = edges.expect("a list").iter().map(|edge| &edge["node"]);
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    nodes
        .map(|node| format!("{}/{}", text(&node["instanceId"]), text(&node["appName"])))
        .collect()
}

#[tokio::test]
async fn a_worker_field_by_field() {
    let server = Server::start().await;
    let [_first, _second] = two_workers(&server).await;
    let listed = told(
        &server,
        WORKERS,
        json!({"filter": {"instanceIDs": ["first"]}}),
    )
    .await;
    let id = &listed["workerConnections"]["edges"][0]["node"]["id"];
    let mut data = told(
        &server,
        "query ($id: ULID!) { workerConnection(connectionId: $id) {
            id gatewayId instanceId workerIp maxWorkerConcurrency appName appID app { name method url functionCount }
            connectedAt lastHeartbeatAt disconnectedAt disconnectReason status groupHash sdkLang sdkVersion sdkPlatform
            buildId appVersion functionCount cpuCores memBytes os } }",
        json!({"id": id}),
    )
    .await;
    tidied(&mut data);
    check("a_worker", &data);
    let unknown = ask(
        &server,
        "{ workerConnection(connectionId: \"01JZXQ2M5N1V8Q7T7Q0000000A\") { id } }",
        json!({}),
    )
    .await;
    assert_eq!(unknown["data"], json!({"workerConnection": null}));
    assert_eq!(
        unknown["errors"][0]["message"],
        "worker connection not found"
    );
}

#[tokio::test]
async fn workers_are_listed_by_app_status_and_time_in_pages() {
    let server = Server::start().await;
    assert!(seen(&told(&server, WORKERS, json!({})).await).is_empty());
    let [_first, _second] = two_workers(&server).await;
    let all = told(&server, WORKERS, json!({})).await;
    let newest_first = ["second/shop", "first/mail", "first/shop"];
    assert_eq!(seen(&all), newest_first);
    assert_eq!(all["workerConnections"]["totalCount"], 3);
    let apps = told(&server, "{ apps { id name } }", json!({})).await;
    let apps = apps["apps"].as_array().expect("a list");
    let shop = apps
        .iter()
        .find(|app| app["name"] == "shop")
        .expect("the shop");
    let of_shop = json!({"filter": {"appIDs": [shop["id"]], "status": ["READY"], "from": "2001-01-01T00:00:00Z"},
        "orderBy": [{"field": "CONNECTED_AT", "direction": "ASC"}]});
    let of_shop = told(&server, WORKERS, of_shop).await;
    assert_eq!(seen(&of_shop), ["first/shop", "second/shop"]);
    for filter in [
        json!({"status": ["DRAINING", "DISCONNECTED"]}),
        json!({"until": "2001-01-01T00:00:00Z"}),
        json!({"timeField": "DISCONNECTED_AT", "from": "2001-01-01T00:00:00Z"}),
    ] {
        let none = told(&server, WORKERS, json!({"filter": filter})).await;
        assert!(seen(&none).is_empty(), "{filter}");
    }
    let mut pages = Vec::new();
    let mut after = Value::Null;
    loop {
        let page = told(&server, WORKERS, json!({"first": 1, "after": after})).await;
        pages.extend(seen(&page));
        let info = &page["workerConnections"]["pageInfo"];
        if info["hasNextPage"] == false {
            break;
        }
        after = info["endCursor"].clone();
    }
    assert_eq!(pages, seen(&all));
}

#[tokio::test]
async fn an_app_that_is_served_has_no_workers() {
    let app = crate::app::App::start(|_| crate::app::returned(&Value::Null)).await;
    let server = Server::start().await;
    let function = served("shop-pay", "pay", &app.url, 0);
    server.register("shop", &app, &[function]).await;
    assert!(seen(&told(&server, WORKERS, json!({})).await).is_empty());
}
