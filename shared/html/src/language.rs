//! The languages of the pages, and which of them a visitor wants.

use shared::http::Request;

/// The cookie that keeps a choice.
pub const COOKIE: &str = "__Host-language";

/// A language that the pages are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    English,
    German,
}

impl Language {
    /// What HTML and HTTP call it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
        }
    }

    fn of_code(code: &str) -> Option<Self> {
        match code {
            "en" => Some(Self::English),
            "de" => Some(Self::German),
            _ => None,
        }
    }

    /// The one that a request chooses, has chosen before, or prefers.
    pub fn of(request: &Request) -> Self {
        let chosen = Self::chosen(request).or_else(|| Self::of_code(request.cookie(COOKIE)?));
        chosen.unwrap_or_else(|| preferred(request.accept_language().unwrap_or_default()))
    }

    /// The one that a request chooses by a link of the page.
    pub fn chosen(request: &Request) -> Option<Self> {
        Self::of_code(request.query("lang")?)
    }
}

/// The one that `Accept-Language` prefers.
fn preferred(accepted: &str) -> Language {
    let mut best = (Language::English, 0.0);
    for range in accepted.split(',') {
        let mut parts = range.split(';');
        let name = parts.next().unwrap_or_default().trim();
        let weight = parts
            .find_map(|part| part.trim().strip_prefix("q=")?.parse::<f32>().ok())
            .unwrap_or(1.0);
        let primary = name.split('-').next().unwrap_or_default().to_lowercase();
        if let Some(language) = Language::of_code(&primary)
            && weight > best.1
        {
            best = (language, weight);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_with_the_greatest_weight_is_preferred_and_english_where_none_is_ours() {
        for (accepted, language) in [
            ("de", Language::German),
            ("de-AT,de;q=0.9,en;q=0.8", Language::German),
            ("en-US,en;q=0.9,de;q=0.8", Language::English),
            ("fr, de;q=0.3, en;q=0.2", Language::German),
            ("fr", Language::English),
            ("", Language::English),
            ("de;q=0", Language::English),
            (";;,q=,=", Language::English),
        ] {
            assert_eq!(preferred(accepted), language, "{accepted}");
        }
    }
}
