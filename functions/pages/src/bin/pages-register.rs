//! Making an account by a page.

use html::{account, problem};
use shared::db::Db;
use shared::http::{Answer, Request};
use shared::{clients, serve};

clients! { App { users: Db } }

async fn handle(app: &App, request: Request) -> Answer {
    match request.route().method {
        "POST" => account::sign_up(&app.users, &request).await,
        _ => account::show_sign_up(&request),
    }
}

serve!(pages App, handle, problem::show);
