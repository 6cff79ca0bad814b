//! `GET /notifications`.

use shared::auth::TokenVerifier;
use shared::http::{Answer, Request, ok, routes};
use shared::notifications::Notifications;
use shared::{clients, serve};

clients! { App { tokens: TokenVerifier, notifications: Notifications } }

async fn handle(app: &App, request: Request) -> Answer {
    let user = request.user(&app.tokens)?;
    let page = request.page(&format!("notifications of {user}"))?;
    let notifications = app.notifications.list(user, &page).await?;
    Ok(ok(&notifications))
}

serve!(routes::LIST_NOTIFICATIONS, App, handle);
