//! Answers that are pages, and those that lead to one.

use askama::Template;
use http::StatusCode;
use http::header::{
    CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, LOCATION, REFERRER_POLICY, SET_COOKIE,
    STRICT_TRANSPORT_SECURITY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use shared::http::{Answer, Problem, Request, Response, html};

use crate::frame::sign_in;
use crate::language::{COOKIE, Language};

/// Allows nothing from other origins, no inline scripts or styles, and no embedding of the page in a frame.
const POLICY: &str = "default-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; object-src 'none'";

/// A page.
pub fn page(request: &Request, status: StatusCode, template: &impl Template) -> Answer {
    let mut response = plain(status, template)?;
    if let Some(language) = Language::chosen(request) {
        let cookie = format!(
            "{COOKIE}={}; Path=/; Max-Age=31536000; Secure; SameSite=Lax",
            language.code()
        );
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
    }
    Ok(response)
}

/// A page that no request chooses the language of.
pub fn plain(status: StatusCode, template: &impl Template) -> Answer {
    let text = template
        .render()
        .map_err(|error| Problem::internal("writing a page", error))?;
    let mut response = html(status, text);
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    set(CONTENT_SECURITY_POLICY, POLICY);
    set(X_CONTENT_TYPE_OPTIONS, "nosniff");
    // With `no-referrer`, browsers send `Origin: null` with our own forms, and `Request::form` refuses them.
    set(REFERRER_POLICY, "same-origin");
    set(VARY, "Accept-Language, Cookie");
    // Browsers pass it over where there is no TLS.
    set(STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    Ok(response)
}

/// 303: what was asked for is done, or has to wait, and there is the page to see next.
pub fn see_other(location: &str) -> Answer {
    let location = HeaderValue::from_str(location)
        .map_err(|error| Problem::internal("leading to a page", error))?;
    let mut response = html(StatusCode::SEE_OTHER, String::new());
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}

/// As [`see_other`], with a cookie.
pub fn see_other_with(location: &str, cookie: HeaderValue) -> Answer {
    let mut response: Response = see_other(location)?;
    response.headers_mut().append(SET_COOKIE, cookie);
    Ok(response)
}

/// To the page to log in, and from there to `next`.
pub fn log_in_first(next: &str) -> Answer {
    see_other(&sign_in(next))
}
