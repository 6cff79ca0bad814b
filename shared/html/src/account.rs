//! Logging in and out, and making an account.

use askama::Template;
use http::StatusCode;
use shared::db::Db;
use shared::http::{Answer, Form, Request};
use shared::token_key::TokenKey;
use shared::users::{self, Credentials, LoginError, RegisterError, Registration};

use crate::frame::Frame;
use crate::language::Language;
use crate::respond::{page, see_other, see_other_with};
use crate::session;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignIn {
    frame: Frame,
    t: Language,
    /// Where to go on.
    next: String,
    /// Why the visitor is here, where somebody else sent them.
    notice: Option<&'static str>,
    username: String,
    error: Option<&'static str>,
}

/// The page to go on to: one of ours, whatever the address says.
fn next_of(text: &str) -> String {
    let ours = text.starts_with('/')
        && !text.starts_with("//")
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if ours { text } else { "/" }.to_owned()
}

/// `GET /sign-in`.
pub fn show_sign_in(request: &Request) -> Answer {
    let frame = Frame::of(request, false);
    let t = frame.language;
    let sign_in = SignIn {
        next: next_of(request.query("next").unwrap_or_default()),
        notice: match (request.query("ready"), request.query("next")) {
            (Some(_), _) => Some(t.login_ready()),
            (None, Some(_)) => Some(t.login_next()),
            (None, None) => None,
        },
        username: String::new(),
        error: None,
        frame,
        t,
    };
    page(request, StatusCode::OK, &sign_in)
}

/// `POST /sign-in`: begins a session.
pub async fn sign_in(db: &Db, key: &TokenKey, request: &Request) -> Answer {
    let form = request.form()?;
    let next = next_of(form.text("next"));
    let credentials = Credentials {
        username: form.text("username").to_owned(),
        password: users::TypedPassword::new(form.text("password")),
    };
    let t = Language::of(request);
    let (status, error) = match users::log_in(db, key, credentials).await {
        Ok(begun) => {
            return match session::begin(&begun.access_token, begun.expires_in) {
                Some(cookie) => see_other_with(&next, cookie),
                None => see_other(&next),
            };
        }
        Err(LoginError::Invalid) => (StatusCode::UNAUTHORIZED, t.err_login()),
        Err(LoginError::TooMany { .. }) => (StatusCode::TOO_MANY_REQUESTS, t.err_many_requests()),
        Err(
            error @ (LoginError::Hash(_)
            | LoginError::Key(_)
            | LoginError::Token(_)
            | LoginError::Database(_)),
        ) => return Err(error.into()),
    };
    let sign_in = SignIn {
        frame: Frame::of(request, false),
        t,
        next,
        notice: None,
        username: form.text("username").to_owned(),
        error: Some(error),
    };
    page(request, status, &sign_in)
}

/// `POST /sign-out`: ends the session in this browser.
pub fn sign_out(request: &Request) -> Answer {
    request.form()?;
    see_other_with("/", session::end())
}

#[derive(Template)]
#[template(path = "sign_up.html")]
struct SignUp {
    frame: Frame,
    t: Language,
    next: String,
    username: String,
    email: String,
    username_error: Option<&'static str>,
    email_error: Option<&'static str>,
    password_error: Option<&'static str>,
}

impl SignUp {
    fn of(request: &Request, next: &str) -> Self {
        let frame = Frame::of(request, false);
        Self {
            t: frame.language,
            frame,
            next: next_of(next),
            username: String::new(),
            email: String::new(),
            username_error: None,
            email_error: None,
            password_error: None,
        }
    }

    /// The fields at fault, and what is wrong with each.
    fn errors(&self) -> Vec<(&'static str, &'static str)> {
        let all = [
            ("username", self.username_error),
            ("email", self.email_error),
            ("password", self.password_error),
        ];
        let errors = all
            .into_iter()
            .filter_map(|(field, error)| Some((field, error?)));
        errors.collect()
    }

    /// The form again, with what was typed but the password.
    fn again(self, form: &Form) -> Self {
        Self {
            username: form.text("username").to_owned(),
            email: form.text("email").to_owned(),
            ..self
        }
    }
}

/// `GET /sign-up`.
pub fn show_sign_up(request: &Request) -> Answer {
    let next = request.query("next").unwrap_or_default();
    page(request, StatusCode::OK, &SignUp::of(request, next))
}

/// `POST /sign-up`: makes an account, and leads to logging in.
pub async fn sign_up(db: &Db, request: &Request) -> Answer {
    let form = request.form()?;
    let (username, password) = (form.value("username"), form.value("password"));
    let email = form.optional("email");
    let mut again = SignUp::of(request, form.text("next")).again(&form);
    let t = again.t;
    again.username_error = username.is_none().then(|| t.err_username());
    again.email_error = email.is_none().then(|| t.err_email());
    again.password_error = password.is_none().then(|| t.err_password());
    let (Some(username), Some(password), Some(email)) = (username, password, email) else {
        return page(request, StatusCode::UNPROCESSABLE_ENTITY, &again);
    };
    let registration = Registration {
        username,
        password,
        email,
    };
    match users::register(db, registration).await {
        Ok(_) => {
            let next = form_urlencoded::byte_serialize(again.next.as_bytes());
            see_other(&format!(
                "/sign-in?ready=1&next={}",
                next.collect::<String>()
            ))
        }
        Err(RegisterError::UsernameTaken) => {
            again.username_error = Some(t.err_username_taken());
            page(request, StatusCode::CONFLICT, &again)
        }
        Err(error @ (RegisterError::Hash(_) | RegisterError::Database(_))) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_logging_in_a_visitor_stays_on_this_site() {
        for ours in ["/", "/e/E123", "/b/bk_1?lang=de"] {
            assert_eq!(next_of(ours), ours);
        }
        for other in [
            "",
            "https://example.org",
            "//example.org",
            "/\\example.org",
            "e/E123",
            "/a b",
            "/a\r\nb",
        ] {
            assert_eq!(next_of(other), "/", "{other}");
        }
    }
}
