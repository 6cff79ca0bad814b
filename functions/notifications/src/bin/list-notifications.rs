//! `GET /notifications`.

use shared::auth::TokenVerifier;
use shared::http::{Answer, Request, ok, routes};
use shared::notifications::{self, Notifications};
use shared::{clients, serve};

clients! { App { tokens: TokenVerifier, notifications: Notifications } }

async fn handle(app: &App, request: Request) -> Answer {
    let user = request.user(&app.tokens)?;
    let page = request.page(&format!("notifications of {user}"))?;
    let found = notifications::list(&app.notifications, user, &page).await?;
    Ok(ok(&found))
}

serve!(routes::LIST_NOTIFICATIONS, App, handle);
