//! `POST /login`. It signs tokens, as `pages-login` does.

use shared::db::Db;
use shared::http::{Answer, Request, ok, routes};
use shared::token_key::TokenKey;
use shared::users::{self, Credentials};
use shared::{clients, serve};

clients! { App { users: Db, key: TokenKey } }

async fn handle(app: &App, request: Request) -> Answer {
    let credentials: Credentials = request.fields()?.decode()?;
    let session = users::log_in(&app.users, &app.key, credentials).await?;
    Ok(ok(&session))
}

serve!(routes::LOGIN, App, handle);
