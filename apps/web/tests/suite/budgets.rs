//! Money as a limit: budgets hold runs, which say so, and go on when they are raised.

use crate::cli::{Serve, answer, run, studio233, text};
use crate::files;
use crate::studio::TestStudio;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use studio233_db::{NewWorkspace, Period, UsageKind, WorkspaceId};
use studio233_setup::{BudgetOwner, FileBudget};

async fn put(studio: &TestStudio, body: &Value, user: Option<&str>) -> crate::studio::Answer {
    let request = studio.http.put(studio.url("/api/budgets")).json(body);
    let request = match user {
        Some(user) => request.header("x-user-id", user),
        None => request,
    };
    studio.send(request).await
}

#[tokio::test]
async fn a_spent_budget_holds_a_run_which_says_so_until_it_is_raised() {
    let studio = TestStudio::start().await;
    let workspace = studio.workspace("Solvane").await;
    let budget = |limit: u64| json!({"workspaceId": workspace, "kind": "seconds", "period": "ever", "limit": limit});
    let set = put(&studio, &budget(0), None).await;
    assert_eq!(set.status, 200);
    assert_eq!(set.body["budget"]["isUsedUp"], true);

    let file = std::fs::read(files::sample()).unwrap();
    let url = studio.upload("brand.pdf", file).await.text("/url");
    let asset = json!({
        "name": "brand.pdf", "url": url, "size": 1, "mimeType": "application/pdf",
        "workspaceId": workspace, "isBrandAsset": true,
    });
    let registered = studio.post("/api/assets", &asset).await;
    let id = studio.run_of(&registered.text("/event/id")).await;
    let path = format!("/api/runs/{id}");
    let held = loop {
        let shown = studio.get(&path).await;
        if shown.body["waiting"]["reason"] == "held" {
            break shown;
        }
        assert!(shown.body["endedAt"].is_null(), "{}", shown.body);
        tokio::task::yield_now().await;
    };
    assert_eq!(
        held.text("/waiting/message"),
        format!("held: the workspace {workspace} has used 0 of 0 seconds, until it is raised")
    );
    let steps = held.body["steps"].as_array().unwrap();
    assert!(steps.iter().all(|step| step["name"] != "index-and-store"));

    assert_eq!(put(&studio, &budget(3_600_000), None).await.status, 200);
    let (_, ended) = studio.watch(&id).await;
    assert_eq!(ended["status"], "Completed", "{ended}");

    let budgets = studio.get("/api/budgets").await;
    let standing = &budgets.body["budgets"][0];
    assert_eq!(standing["limit"], 3_600_000);
    assert_eq!(standing["isUsedUp"], false);
    let path = format!("/api/usage?workspaceId={workspace}&period=ever");
    let used = studio.get(&path).await.body["usage"].clone();
    let of_runs = used.as_array().unwrap().iter();
    let of_runs = of_runs.filter(|total| total["functionId"] == "brand-ingestion");
    let seconds: u64 = of_runs.map(|total| total["amount"].as_u64().unwrap()).sum();
    assert!(seconds > 0, "{used}");

    // Questions are counted, too.
    let question = format!("/api/workspaces/{workspace}/search?q=logo");
    assert_eq!(studio.get(&question).await.status, 200);
    let used = studio.get(&path).await.body["usage"].to_string();
    assert!(used.contains("\"search\""), "{used}");

    let named = format!("/api/budgets?workspaceId={workspace}&kind=seconds&period=ever");
    let remove = || studio.send(studio.http.delete(studio.url(&named)));
    assert_eq!(remove().await.status, 200);
    assert_eq!(remove().await.code(), "no_such_budget");
    studio.stop().await;
}

#[tokio::test]
async fn budgets_are_their_owners_business() {
    let studio = TestStudio::start().await;
    let workspace = studio.workspace("Solvane").await;
    let of_workspace =
        json!({"workspaceId": workspace, "kind": "tokens", "period": "day", "limit": 1});
    let of_function =
        json!({"functionId": "brand-ingestion", "kind": "tokens", "period": "day", "limit": 1});
    let stranger = Some("stranger");
    let refused = put(&studio, &of_workspace, stranger).await;
    assert_eq!((refused.status, refused.code()), (404, "no_such_workspace"));
    let refused = put(&studio, &of_function, stranger).await;
    assert_eq!((refused.status, refused.code()), (403, "not_operator"));
    let refused = put(&studio, &of_function, Some("local")).await;
    assert_eq!((refused.status, refused.code()), (400, "bad_user"));
    for budget in [&of_workspace, &of_function] {
        assert_eq!(put(&studio, budget, None).await.status, 200);
    }
    let both = studio.get("/api/budgets").await.body["budgets"].clone();
    assert_eq!(both.as_array().unwrap().len(), 2);
    let request = studio.http.get(studio.url("/api/budgets"));
    let seen = studio.send(request.header("x-user-id", "stranger")).await;
    // What all users together may use is told to the operator alone.
    let seen = seen.body["budgets"].as_array().unwrap();
    let of_function = json!({
        "scope": "function", "id": "brand-ingestion", "kind": "tokens", "period": "day",
        "resetsAtMs": seen[0]["resetsAtMs"], "isUsedUp": false,
    });
    assert_eq!(*seen, [of_function]);
    let path = format!("/api/usage?workspaceId={workspace}");
    let request = studio.http.get(studio.url(&path));
    let refused = studio.send(request.header("x-user-id", "stranger")).await;
    assert_eq!(refused.status, 404);

    for (body, code) in [
        (
            json!({"kind": "tokens", "period": "day", "limit": 1}),
            "bad_budget",
        ),
        (
            json!({"functionId": "no-such", "kind": "tokens", "period": "day", "limit": 1}),
            "no_such_function",
        ),
        (
            json!({"workspaceId": workspace, "kind": "coins", "period": "day", "limit": 1}),
            "bad_body",
        ),
        (
            json!({"workspaceId": workspace, "kind": "tokens", "period": "day", "limit": u64::MAX}),
            "bad_body",
        ),
    ] {
        let refused = put(&studio, &body, None).await;
        assert_eq!((refused.status / 100, refused.code()), (4, code), "{body}");
    }
    studio.stop().await;
}

#[tokio::test]
async fn what_the_file_limits_only_its_operator_changes() {
    let studio = TestStudio::limited_by(FileBudget {
        owner: BudgetOwner::Workspace("Solvane".to_owned()),
        kind: UsageKind::Tokens,
        period: Period::Day,
        limit: 5,
    })
    .await;
    let ada = Some("ada");
    let request = studio.http.post(studio.url("/api/workspaces"));
    let request = request
        .header("x-user-id", "ada")
        .json(&json!({"name": "Solvane"}));
    let workspace = studio.send(request).await.text("/id");
    let raised =
        json!({"workspaceId": workspace, "kind": "tokens", "period": "day", "limit": 1_000});
    let refused = put(&studio, &raised, ada).await;
    assert_eq!((refused.status, refused.code()), (403, "not_operator"));
    let path = format!("/api/budgets?workspaceId={workspace}&kind=tokens&period=day");
    let request = studio.http.delete(studio.url(&path));
    let refused = studio.send(request.header("x-user-id", "ada")).await;
    assert_eq!((refused.status, refused.code()), (403, "not_operator"));
    // One of her own beside it is hers to set.
    let own = json!({"workspaceId": workspace, "kind": "tokens", "period": "hour", "limit": 1});
    assert_eq!(put(&studio, &own, ada).await.status, 200);
    studio.stop().await;
}

#[tokio::test]
async fn a_budget_of_the_file_waits_for_its_workspace_and_is_set_once_it_is_asked_for() {
    let studio = TestStudio::limited_by(FileBudget {
        owner: BudgetOwner::Workspace("solvane".to_owned()),
        kind: UsageKind::Tokens,
        period: Period::Day,
        limit: 5,
    })
    .await;
    let listed = studio.get("/api/budgets").await;
    let waiting = json!([{"workspace": "solvane", "kind": "tokens", "period": "day", "limit": 5}]);
    assert_eq!(listed.body["waiting"], waiting);
    let request = studio.http.get(studio.url("/api/budgets"));
    let seen = studio.send(request.header("x-user-id", "ada")).await;
    assert!(seen.body["waiting"].is_null(), "{}", seen.body);

    // A studio that made it and died before it could set its budget.
    let new = NewWorkspace {
        id: WorkspaceId::new("w"),
        name: "Solvane".to_owned(),
        slug: "solvane".to_owned(),
        user_id: "local".to_owned(),
    };
    studio
        .database()
        .await
        .create_workspace(&new, 1)
        .await
        .unwrap();
    let asked = studio
        .post("/api/workspaces", &json!({"name": "SOLVANE"}))
        .await;
    assert_eq!((asked.status, asked.text("/id")), (200, "w".to_owned()));
    let listed = studio.get("/api/budgets").await;
    assert_eq!(listed.body["budgets"][0]["limit"], 5, "{}", listed.body);
    assert_eq!(listed.body["waiting"], json!([]));

    // What its operator changes stays.
    let raised = json!({"workspaceId": "w", "kind": "tokens", "period": "day", "limit": 9});
    assert_eq!(put(&studio, &raised, None).await.status, 200);
    studio
        .post("/api/workspaces", &json!({"name": "Solvane"}))
        .await;
    let listed = studio.get("/api/budgets").await;
    assert_eq!(listed.body["budgets"][0]["limit"], 9);
    studio.stop().await;
}

#[test]
fn commands_set_raise_and_remove_budgets_of_a_running_studio() {
    let folder = tempfile::tempdir().unwrap();
    let config = "[prices]\ncurrency = \"EUR\"\n[[budgets]]\nworkspace = \"Solvane\"\n\
                  unit = \"currency\"\namount = 0\nperiod = \"month\"\n";
    std::fs::write(folder.path().join("studio233.toml"), config).unwrap();
    let _serve = Serve::start(folder.path());
    let listed = run(folder.path(), &["budgets"]);
    let listed = text(&listed.stdout);
    assert!(listed.starts_with("there is no budget"), "{listed}");
    let waits = "workspace \"Solvane\" is not there: 0 EUR per month wait for it";
    assert!(listed.contains(waits), "{listed}");

    // The file's budget is set as soon as there is the workspace.
    let sample = files::sample();
    let mut ingest = studio233(folder.path())
        .arg("ingest")
        .arg(sample)
        .args(["--workspace", "Solvane"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(ingest.stdout.take().unwrap()).lines();
    let held = told.find(|line| line.as_ref().unwrap().contains("held: "));
    let held = held.unwrap().unwrap();
    assert!(held.contains("has used 0 of 0 EUR, until "), "{held}");

    let listed = run(folder.path(), &["budgets", "list"]);
    let listed = text(&listed.stdout);
    assert!(listed.contains(": 0 of 0 EUR per month"), "{listed}");
    assert!(
        listed.contains("used up: further runs are held"),
        "{listed}"
    );
    let which = [
        "--workspace",
        "Solvane",
        "--unit",
        "currency",
        "--period",
        "month",
    ];
    let mut raise = vec!["budgets", "set", "--amount", "2.5", "--json"];
    raise.extend(which);
    let raised = answer(&run(folder.path(), &raise));
    assert_eq!(raised["budget"]["limit"], 2_500_000);
    let rest: Vec<String> = told.map(Result::unwrap).collect();
    assert!(ingest.wait().unwrap().success(), "{rest:?}");

    let used = run(folder.path(), &["usage", "--workspace", "Solvane"]);
    let used = text(&used.stdout);
    assert!(used.contains("brand-ingestion, "), "{used}");
    let mut remove = vec!["budgets", "remove"];
    remove.extend(which);
    assert!(run(folder.path(), &remove).status.success());
    let again = run(folder.path(), &remove);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("there is no budget of currency per month"));
    let mut bad = vec!["budgets", "set", "--amount", "much"];
    bad.extend(which);
    let refused = run(folder.path(), &bad);
    assert!(text(&refused.stderr).contains("--amount: \"much\" is no number"));
}
