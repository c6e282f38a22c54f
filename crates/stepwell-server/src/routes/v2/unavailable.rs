//! What only a hosted service has. The routes are there, so that clients are told.

use super::{Errors, Refusal};
use crate::state::Shared;
use axum::extract::OriginalUri;
use axum::http::{StatusCode, Uri};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

macro_rules! unavailable {
    ($($name:ident $method:ident $path:literal ($($param:literal)*);)*) => {
        $(
            /// What only a hosted service has.
            #[utoipa::path($method, path = $path, tag = "Unavailable", $(params(($param = String, Path)),)*
                responses((status = 501, body = Errors)))]
            async fn $name(OriginalUri(uri): OriginalUri) -> Refusal {
                refusal(&uri)
            }
        )*

        pub(super) fn router() -> OpenApiRouter<Shared> {
            OpenApiRouter::new()$(.routes(routes!($name)))*
        }
    };
}

unavailable! {
    account get "/account" ();
    environments get "/envs" ();
    create_environment post "/envs" ();
    environment get "/envs/{id}" ("id");
    change_environment patch "/envs/{id}" ("id");
    webhooks get "/env/webhooks" ();
    create_webhook post "/env/webhooks" ();
    partner_accounts get "/partner/accounts" ();
    create_partner_account post "/partner/accounts" ();
    sync_app post "/apps/{app}/syncs" ("app");
    insights get "/insights" ();
    query_insights post "/insights/query" ();
    experiments get "/experiments" ();
    experiment get "/experiments/{id}" ("id");
    sessions get "/sessions" ();
    session get "/sessions/{id}" ("id");
    sandboxes get "/sandboxes" ();
    create_sandbox post "/sandboxes" ();
    sandbox get "/sandboxes/{id}" ("id");
    remove_sandbox delete "/sandboxes/{id}" ("id");
}

fn refusal(uri: &Uri) -> Refusal {
    let message = format!("{} is not available on a server of your own", uri.path());
    Refusal::new(StatusCode::NOT_IMPLEMENTED, "not_implemented", message)
}
