//! Problems as pages.

use askama::Template;
use http::header::{HeaderValue, RETRY_AFTER};
use shared::http::{Code, Problem, Request, Response};

use crate::frame::Frame;
use crate::language::Language;
use crate::{respond, session};

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage {
    frame: Frame,
    t: Language,
    status: u16,
    title: &'static str,
    hint: &'static str,
    /// Whether the same may succeed in a moment.
    retry: bool,
}

/// The page that tells a visitor of a problem.
pub fn show(problem: &Problem, request: Option<&Request>) -> Response {
    let (_, status, _) = problem.code().parts();
    let language = request.map_or(Language::English, Language::of);
    let t = language;
    let (title, hint, retry) = match problem.code() {
        Code::NotFound => (t.p_404(), t.p_404_hint(), false),
        // The first of two requests is still at it.
        Code::Unavailable | Code::RequestInProgress => (t.p_503(), t.p_503_hint(), true),
        Code::TooManyRequests => (t.p_429(), t.err_many_requests(), true),
        Code::Forbidden => (t.p_403(), t.err_origin(), false),
        code if code.parts().1.is_client_error() => (t.p_400(), t.p_400_hint(), false),
        _ => (t.p_500(), t.p_500_hint(), false),
    };
    let frame = request.map_or_else(|| Frame::bare(language), frame_of);
    let page = ProblemPage {
        frame,
        t,
        status: status.as_u16(),
        title,
        hint,
        retry,
    };
    match respond::plain(status, &page) {
        Ok(mut response) => {
            if retry {
                let seconds = HeaderValue::from_static("2");
                response.headers_mut().insert(RETRY_AFTER, seconds);
            }
            response
        }
        Err(problem) => problem.into_response(""),
    }
}

/// The frame of the page that the visitor can go back to: a form's own address can't be looked at.
fn frame_of(request: &Request) -> Frame {
    let frame = Frame::of(request, session::is_claimed(request));
    match (request.route().path, request.raw_path().rsplit_once('/')) {
        ("/sign-out", _) => frame.at("/".to_owned()),
        (path, Some((before, _)))
            if path.ends_with("/book") || path.starts_with("/b/{booking_id}/") =>
        {
            frame.at(before.to_owned())
        }
        ("/desk/{event_id}" | "/desk/{event_id}/edit", _) => frame,
        (path, _) if path.starts_with("/desk/{event_id}/") => {
            let mut parts = request.raw_path().split('/');
            let event = parts.nth(2).unwrap_or_default();
            frame.at(format!("/desk/{event}/edit"))
        }
        _ => frame,
    }
}
