use crate::Opened;
use serde_json::json;
use studio233_db::{
    Budget, BudgetScope, FileSource, NewUsage, NewWorkspace, Period, UsageKind, WorkspaceId,
};

on_both!(
    what_is_noted_twice_counts_once,
    a_budget_fills_and_is_full_again_in_the_next_period,
    a_run_has_to_keep_to_its_workspaces_and_its_functions_budgets,
    a_raised_budget_has_room_again,
    usage_of_long_ago_is_forgotten,
    a_user_sees_the_budgets_of_own_workspaces_and_of_functions,
    what_was_used_is_told_by_function_and_model,
    budgets_of_each_period_count_from_its_beginning,
    what_the_file_says_again_undoes_nothing,
    what_the_file_says_no_more_goes_unless_somebody_changed_it,
);

const DAY: i64 = 24 * 60 * 60 * 1000;

fn used(key: &str, workspace: &str, amount: u64) -> NewUsage {
    NewUsage {
        key: key.into(),
        workspace_id: WorkspaceId::new(workspace),
        function_id: "brand-ingestion".into(),
        kind: UsageKind::Tokens,
        model: "gemini".into(),
        amount,
    }
}

fn of_workspace(id: &str) -> BudgetScope {
    BudgetScope::Workspace(WorkspaceId::new(id))
}

fn daily(scope: BudgetScope, limit: u64) -> Budget {
    Budget {
        scope,
        kind: UsageKind::Tokens,
        period: Period::Day,
        limit,
    }
}

async fn what_is_noted_twice_counts_once(db: Opened) {
    let two = [used("run/step/in", "w", 3), used("run/step/out", "w", 4)];
    assert_eq!(db.record_usage(&two, 1).await.unwrap(), 2);
    assert_eq!(db.record_usage(&two, 2).await.unwrap(), 0);
    let (tokens, images) = (UsageKind::Tokens, UsageKind::Images);
    assert_eq!(
        db.usage_since(&of_workspace("w"), tokens, 0).await.unwrap(),
        7
    );
    assert_eq!(
        db.usage_since(&of_workspace("w"), tokens, 2).await.unwrap(),
        0
    );
    assert_eq!(
        db.usage_since(&of_workspace("w"), images, 0).await.unwrap(),
        0
    );
    assert_eq!(
        db.usage_since(&of_workspace("v"), tokens, 0).await.unwrap(),
        0
    );
    let all = [used("most", "v", u64::MAX), used("more", "v", u64::MAX)];
    db.record_usage(&all, 1).await.unwrap();
    assert!(db.usage_since(&of_workspace("v"), tokens, 0).await.unwrap() > i64::MAX as u64);
}

async fn a_budget_fills_and_is_full_again_in_the_next_period(db: Opened) {
    let w = WorkspaceId::new("w");
    db.set_budget(&daily(of_workspace("w"), 10), 1)
        .await
        .unwrap();
    db.record_usage(&[used("1", "w", 6)], 2).await.unwrap();
    let standing = db
        .budget_standings(Some(&w), None, 3)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(
        (standing.used, standing.remaining(), standing.is_used_up()),
        (6, 4, false)
    );
    assert_eq!(standing.resets_at_ms, Some(DAY));
    db.record_usage(&[used("2", "w", 6)], DAY - 1)
        .await
        .unwrap();
    let standing = db
        .budget_standings(Some(&w), None, DAY - 1)
        .await
        .unwrap()
        .remove(0);
    assert_eq!((standing.remaining(), standing.is_used_up()), (0, true));
    let standing = db
        .budget_standings(Some(&w), None, DAY)
        .await
        .unwrap()
        .remove(0);
    assert_eq!((standing.used, standing.resets_at_ms), (0, Some(2 * DAY)));
    assert_eq!(
        serde_json::to_value(standing).unwrap(),
        json!({
            "scope": "workspace", "id": "w", "kind": "tokens", "period": "day", "limit": 10,
            "used": 0, "resetsAtMs": 2 * DAY,
        })
    );
}

async fn a_run_has_to_keep_to_its_workspaces_and_its_functions_budgets(db: Opened) {
    let function = BudgetScope::Function("brand-ingestion".into());
    db.set_budget(&daily(function.clone(), 5), 1).await.unwrap();
    db.set_budget(&daily(of_workspace("w"), 10), 1)
        .await
        .unwrap();
    db.set_budget(&daily(of_workspace("v"), 10), 1)
        .await
        .unwrap();
    db.record_usage(&[used("1", "v", 5)], 2).await.unwrap();
    let w = WorkspaceId::new("w");
    let both = db
        .budget_standings(Some(&w), Some("brand-ingestion"), 3)
        .await
        .unwrap();
    let used_up: Vec<_> = both
        .iter()
        .map(|one| (&one.budget.scope, one.is_used_up()))
        .collect();
    assert_eq!(used_up, [(&of_workspace("w"), false), (&function, true)]);
    assert!(
        db.budget_standings(None, Some("other"), 3)
            .await
            .unwrap()
            .is_empty()
    );
}

async fn a_raised_budget_has_room_again(db: Opened) {
    let (scope, w) = (of_workspace("w"), WorkspaceId::new("w"));
    db.set_budget(&daily(scope.clone(), 0), 1).await.unwrap();
    assert!(db.budget_standings(Some(&w), None, 1).await.unwrap()[0].is_used_up());
    db.set_budget(&daily(scope.clone(), 1), 2).await.unwrap();
    let standings = db.budget_standings(Some(&w), None, 2).await.unwrap();
    assert_eq!((standings.len(), standings[0].is_used_up()), (1, false));
    assert!(
        db.remove_budget(&scope, UsageKind::Tokens, Period::Day)
            .await
            .unwrap()
    );
    assert!(
        !db.remove_budget(&scope, UsageKind::Tokens, Period::Day)
            .await
            .unwrap()
    );
}

async fn usage_of_long_ago_is_forgotten(db: Opened) {
    for n in 0..4_u32 {
        db.record_usage(&[used(&n.to_string(), "w", 1)], n.into())
            .await
            .unwrap();
    }
    assert_eq!(db.prune_usage(3, 2).await.unwrap(), 2);
    assert_eq!(db.prune_usage(3, 2).await.unwrap(), 1);
    assert_eq!(db.prune_usage(3, 2).await.unwrap(), 0);
    assert_eq!(
        db.usage_since(&of_workspace("w"), UsageKind::Tokens, 3)
            .await
            .unwrap(),
        1
    );
}

async fn a_user_sees_the_budgets_of_own_workspaces_and_of_functions(db: Opened) {
    for (id, user) in [("w", "ada"), ("v", "bob")] {
        let workspace = NewWorkspace {
            id: WorkspaceId::new(id),
            name: format!("The {id}"),
            slug: format!("the-{id}"),
            user_id: user.to_owned(),
        };
        db.create_workspace(&workspace, 1).await.unwrap();
        let spelt = workspace.name.to_uppercase();
        for name in [id, &workspace.name, &workspace.slug, &spelt] {
            let named = db.workspace_named(name).await.unwrap().unwrap();
            assert_eq!(named.id, workspace.id);
        }
    }
    assert!(db.workspace_named("u").await.unwrap().is_none());
    let function = BudgetScope::Function("brand-ingestion".into());
    for scope in [of_workspace("w"), of_workspace("v"), function.clone()] {
        db.set_budget(&daily(scope, 10), 1).await.unwrap();
    }
    db.record_usage(&[used("1", "w", 4)], 2).await.unwrap();
    let standings = db.budgets_of_user("ada", 3).await.unwrap();
    let seen: Vec<_> = standings
        .iter()
        .map(|one| (&one.budget.scope, one.used))
        .collect();
    assert_eq!(seen, [(&of_workspace("w"), 4), (&function, 4)]);
}

async fn what_was_used_is_told_by_function_and_model(db: Opened) {
    let other = NewUsage {
        model: "fal".into(),
        kind: UsageKind::Images,
        ..used("3", "w", 2)
    };
    let all = [
        used("1", "w", 3),
        used("2", "w", 4),
        other,
        used("4", "v", 9),
    ];
    db.record_usage(&all, 5).await.unwrap();
    let w = WorkspaceId::new("w");
    let totals = db.usage_totals(&w, 5).await.unwrap();
    assert_eq!(
        serde_json::to_value(totals).unwrap(),
        json!([
            {"functionId": "brand-ingestion", "model": "fal", "kind": "images", "amount": 2},
            {"functionId": "brand-ingestion", "model": "gemini", "kind": "tokens", "amount": 7},
        ])
    );
    assert!(db.usage_totals(&w, 6).await.unwrap().is_empty());
}

async fn budgets_of_each_period_count_from_its_beginning(db: Opened) {
    // 1970-02-03T05:00:00Z, a Tuesday.
    let hour = 60 * 60 * 1000;
    let now = 33 * DAY + 5 * hour;
    let began = [now, 33 * DAY, 32 * DAY, 31 * DAY];
    for (number, moment) in (0..).zip(began) {
        for (at, amount) in [(moment - 1, 1), (moment, 10)] {
            let key = format!("{number}/{at}");
            let used = used(&key, "w", amount);
            db.record_usage(&[used], at).await.unwrap();
        }
    }
    for period in Period::ALL {
        for scope in [
            of_workspace("w"),
            BudgetScope::Function("brand-ingestion".into()),
        ] {
            let budget = Budget {
                period,
                ..daily(scope, 1)
            };
            db.set_budget(&budget, 1).await.unwrap();
        }
    }
    let standings = db
        .budget_standings(Some(&WorkspaceId::new("w")), Some("brand-ingestion"), now)
        .await
        .unwrap();
    let of = |period| {
        let of_period = standings.iter().filter(|one| one.budget.period == period);
        of_period.map(|one| one.used).collect::<Vec<_>>()
    };
    assert_eq!(
        Period::ALL.map(of),
        [[10; 2], [21; 2], [32; 2], [43; 2], [44; 2]]
    );
}

async fn limit(db: &Opened, scope: &BudgetScope) -> Option<u64> {
    let BudgetScope::Workspace(id) = scope else {
        panic!("it is a workspace's")
    };
    let standings = db.budget_standings(Some(id), None, 1).await.unwrap();
    standings.first().map(|one| one.budget.limit)
}

async fn what_the_file_says_again_undoes_nothing(db: Opened) {
    let w = of_workspace("w");
    let says = |limit| {
        let (db, budget) = (&db, daily(w.clone(), limit));
        async move {
            db.apply_file_budget(&budget, FileSource::Studio, 1)
                .await
                .unwrap()
        }
    };
    assert!(says(25).await);
    assert!(!says(25).await);
    db.set_budget(&daily(w.clone(), 40), 2).await.unwrap();
    assert!(!says(25).await);
    assert_eq!(limit(&db, &w).await, Some(40));
    assert!(says(30).await);
    assert_eq!(limit(&db, &w).await, Some(30));
    let removed = db.remove_budget(&w, UsageKind::Tokens, Period::Day).await;
    assert!(removed.unwrap());
    assert!(!says(30).await);
    assert_eq!(limit(&db, &w).await, None);
    assert!(says(31).await);
    // What was set by hand as the file says it is not another budget.
    db.set_budget(&daily(w.clone(), 32), 3).await.unwrap();
    assert!(!says(32).await);
}

async fn what_the_file_says_no_more_goes_unless_somebody_changed_it(db: Opened) {
    let [kept, left, raised, by_hand, of_worker, of_both] =
        ["kept", "left", "raised", "by-hand", "of-worker", "of-both"].map(of_workspace);
    for (scope, source) in [
        (&kept, FileSource::Studio),
        (&left, FileSource::Studio),
        (&raised, FileSource::Studio),
        (&of_worker, FileSource::Worker),
        (&of_both, FileSource::Worker),
        (&of_both, FileSource::Studio),
        (&of_both, FileSource::Worker),
    ] {
        let budget = daily(scope.clone(), 5);
        db.apply_file_budget(&budget, source, 1).await.unwrap();
    }
    for scope in [&raised, &by_hand] {
        db.set_budget(&daily(scope.clone(), 9), 2).await.unwrap();
    }
    let removed = db.retain_file_budgets(&[daily(kept.clone(), 7)]).await;
    assert_eq!(
        removed.unwrap(),
        [daily(left.clone(), 5), daily(of_both.clone(), 5)]
    );
    for (scope, expected) in [
        (&kept, Some(5)),
        (&left, None),
        (&raised, Some(9)),
        (&by_hand, Some(9)),
        (&of_worker, Some(5)),
        (&of_both, None),
    ] {
        assert_eq!(limit(&db, scope).await, expected, "{scope:?}");
    }
    assert!(db.retain_file_budgets(&[]).await.unwrap() == [daily(kept, 5)]);
    // A file that says it again is heard again.
    let again = daily(left.clone(), 5);
    let applied = db.apply_file_budget(&again, FileSource::Studio, 3).await;
    assert!(applied.unwrap());
}
