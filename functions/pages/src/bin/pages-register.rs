//! Making an account by a page.

use html::{account, problem};
use shared::db::Db;
use shared::http::{Answer, Problem, Request};
use shared::{clients, serve};

clients! { App { users: Db } }

async fn handle(app: &App, request: Request) -> Answer {
    match request.route().method {
        "POST" => account::sign_up(&app.users, &request).await,
        "GET" => account::show_sign_up(&request),
        _ => Err(Problem::not_found("page")),
    }
}

serve!(pages App, handle, problem::show);
