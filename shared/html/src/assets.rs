//! The style sheet, the script and the icon: the same until they change, and then under another name.

use std::sync::LazyLock;

use http::header::{CACHE_CONTROL, HeaderValue};
use shared::digest;
use shared::http::{Answer, Problem, Request, asset};

/// A file that pages refer to.
pub struct Asset {
    name: &'static str,
    content_type: &'static str,
    content: &'static str,
    /// What pages call it: its name with a hash of its content.
    pub path: String,
}

impl Asset {
    fn new(name: &'static str, content_type: &'static str, content: &'static str) -> Self {
        let mut hash = digest::sha256(content.as_bytes());
        hash.truncate(12);
        Self {
            name,
            content_type,
            content,
            path: format!("/assets/{hash}.{name}"),
        }
    }
}

pub static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("style.css", "text/css", include_str!("../assets/style.css")));
pub static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "shop.js",
        "text/javascript",
        include_str!("../assets/shop.js"),
    )
});
pub static ICON: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "icon.svg",
        "image/svg+xml",
        include_str!("../assets/icon.svg"),
    )
});

/// `GET /assets/{asset}`.
pub fn show(request: &Request) -> Answer {
    let asked: String = request.path("asset", "page")?;
    let all = [&*STYLE, &*SCRIPT, &*ICON];
    let (_, name) = asked.split_once('.').unwrap_or_default();
    let found = all.into_iter().find(|asset| asset.name == name);
    let found = found.ok_or_else(|| Problem::not_found("page"))?;
    let mut response = asset(found.content_type, found.content.as_bytes().to_vec());
    // A page of another release asks for another hash. It gets the file of this release, but must not keep it without
    // asking again.
    let cache = if found.path.ends_with(&format!("/{asked}")) {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let cache = HeaderValue::from_static(cache);
    response.headers_mut().insert(CACHE_CONTROL, cache);
    Ok(response)
}
