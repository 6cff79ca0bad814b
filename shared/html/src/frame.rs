//! What is around every page: the way about, the language, who is logged in.

use shared::http::Request;

use crate::assets::{Asset, ICON, SCRIPT, STYLE};
use crate::language::Language;

/// The frame of one page.
#[derive(Debug, Clone)]
pub struct Frame {
    pub language: Language,
    pub signed_in: bool,
    /// The path of this page by GET.
    here: String,
    /// The query that it was asked with, without the language.
    query: Vec<(String, String)>,
}

impl Frame {
    /// The frame of a page at the address that was asked for.
    pub fn of(request: &Request, signed_in: bool) -> Self {
        let query = request.query_fields().filter(|(name, _)| *name != "lang");
        let mut query: Vec<_> = query
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        query.sort();
        Self {
            language: Language::of(request),
            signed_in,
            here: request.raw_path().to_owned(),
            query,
        }
    }

    /// The frame of a page whose request could not be read.
    pub fn bare(language: Language) -> Self {
        Self {
            language,
            signed_in: false,
            here: "/".to_owned(),
            query: Vec::new(),
        }
    }

    /// The same frame for a page at another path. A page that answers a form needs it, because the path that the form
    /// was sent to can't be opened.
    #[must_use]
    pub fn at(self, here: String) -> Self {
        Self {
            here,
            query: Vec::new(),
            ..self
        }
    }

    /// Where this page is in another language.
    pub fn in_language(&self, code: &str) -> String {
        let query = self.query().chain([("lang", code)]);
        with_query(&self.here, query)
    }

    /// This page as it was asked for, so that what was chosen on it stays.
    fn back(&self) -> String {
        with_query(&self.here, self.query())
    }

    fn query(&self) -> impl Iterator<Item = (&str, &str)> {
        let query = self.query.iter();
        query.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Where this page is.
    pub fn here(&self) -> &str {
        &self.here
    }

    /// Whether this page is the one at `path`.
    pub fn is_at(&self, path: &str) -> bool {
        self.here == path
    }

    /// Where to log in, and then come back here.
    pub fn sign_in(&self) -> String {
        sign_in(&self.back())
    }

    /// Where to make an account, and then come back here.
    pub fn sign_up(&self) -> String {
        with_next("/sign-up", &self.back())
    }

    pub fn style(&self) -> &'static Asset {
        &STYLE
    }

    pub fn script(&self) -> &'static Asset {
        &SCRIPT
    }

    pub fn icon(&self) -> &'static Asset {
        &ICON
    }
}

/// Where to log in, and then go on to `next`.
pub fn sign_in(next: &str) -> String {
    with_next("/sign-in", next)
}

/// A page with a query, if there is one.
pub(crate) fn with_query(
    path: &str,
    query: impl Iterator<Item = (impl AsRef<str>, impl AsRef<str>)>,
) -> String {
    let mut text = form_urlencoded::Serializer::new(String::new());
    match text.extend_pairs(query).finish() {
        text if text.is_empty() => path.to_owned(),
        text => format!("{path}?{text}"),
    }
}

/// A page that leads on to `next`.
fn with_next(path: &str, next: &str) -> String {
    let next = form_urlencoded::byte_serialize(next.as_bytes());
    format!("{path}?next={}", next.collect::<String>())
}
