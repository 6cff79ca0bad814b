//! `POST /users`.

use shared::db::Db;
use shared::http::{Answer, Request, created, routes};
use shared::users::{self, Registration};
use shared::{clients, serve};

clients! { App { users: Db } }

async fn handle(app: &App, request: Request) -> Answer {
    let registration: Registration = request.fields()?.decode()?;
    let user = users::register(&app.users, registration).await?;
    Ok(created(&user))
}

serve!(routes::REGISTER_USER, App, handle);
