//! `GET /bookings`.

use shared::auth::TokenVerifier;
use shared::db::Db;
use shared::http::{Answer, Request, ok, routes};
use shared::{bookings, clients, serve};

clients! { App { tokens: TokenVerifier, bookings: Db } }

async fn handle(app: &App, request: Request) -> Answer {
    let user = request.user(&app.tokens)?;
    let page = request.page(&format!("bookings of {user}"))?;
    let bookings = bookings::list(&app.bookings, user, &page).await?;
    Ok(ok(&bookings))
}

serve!(routes::LIST_BOOKINGS, App, handle);
