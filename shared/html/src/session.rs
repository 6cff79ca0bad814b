//! The session: the API's token, in a cookie that no script reads and that only this host gets.

use http::HeaderValue;
use shared::auth::TokenVerifier;
use shared::http::Request;
use shared::ids::UserId;
use shared::telemetry;

/// Browsers take a cookie of this prefix only with `Secure`, for the whole host, and for no other.
const COOKIE: &str = "__Host-session";

/// The user who is logged in.
pub fn user(request: &Request, tokens: &TokenVerifier) -> Option<UserId> {
    let user = tokens.verify(request.cookie(COOKIE)?)?;
    telemetry::note_user(user);
    Some(user)
}

/// Whether the browser has a session, which may have ended.
pub fn is_claimed(request: &Request) -> bool {
    request.cookie(COOKIE).is_some()
}

/// The cookie of a session that begins.
pub fn begin(token: &str, seconds: u64) -> Option<HeaderValue> {
    let cookie =
        format!("{COOKIE}={token}; Path=/; Max-Age={seconds}; HttpOnly; Secure; SameSite=Lax");
    HeaderValue::from_str(&cookie).ok()
}

/// The cookie that ends a session.
pub fn end() -> HeaderValue {
    HeaderValue::from_static("__Host-session=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax")
}
