//! Logging in by a page, and out. Signs tokens, as `login` does.

use html::{account, problem};
use shared::db::Db;
use shared::http::{Answer, Problem, Request};
use shared::token_key::TokenKey;
use shared::{clients, serve};

clients! { App { users: Db, key: TokenKey } }

async fn handle(app: &App, request: Request) -> Answer {
    match (request.route().method, request.route().path) {
        ("POST", "/sign-in") => account::sign_in(&app.users, &app.key, &request).await,
        ("POST", "/sign-out") => account::sign_out(&request),
        ("GET", "/sign-in") => account::show_sign_in(&request),
        _ => Err(Problem::not_found("page")),
    }
}

serve!(pages App, handle, problem::show);
