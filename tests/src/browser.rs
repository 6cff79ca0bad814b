//! A browser without scripts, as far as the pages need one.

use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response};

use crate::{TestApp, User};

/// A browser: it keeps its session, and doesn't follow where it is led.
pub struct Browser {
    pub url: String,
    pub client: Client,
    pub session: String,
}

/// What it is shown.
pub struct Page {
    pub status: u16,
    pub location: String,
    pub cookie: String,
    pub html: String,
    pub response: reqwest::header::HeaderMap,
}

impl Browser {
    pub fn open(app: &TestApp) -> Self {
        let client = Client::builder().redirect(Policy::none());
        Self {
            url: app.url.clone(),
            client: client.build().unwrap(),
            session: String::new(),
        }
    }

    /// One of a user who is logged in.
    pub async fn of(app: &TestApp, user: &User) -> Self {
        let mut browser = Self::open(app);
        let begun = browser
            .post(
                "/sign-in",
                &[("username", &user.name), ("password", "password123")],
            )
            .await;
        assert_eq!((begun.status, begun.location.as_str()), (303, "/"));
        browser.session = begun.cookie.split(';').next().unwrap().to_owned();
        browser
    }

    pub async fn send(&self, request: RequestBuilder) -> Page {
        self.try_send(request).await.unwrap()
    }

    /// Sends a request that may be left without an answer.
    pub async fn try_send(&self, request: RequestBuilder) -> reqwest::Result<Page> {
        let response: Response = request.header("cookie", &self.session).send().await?;
        let header = |name| {
            let value = response.headers().get(name);
            value.map_or("", |value| value.to_str().unwrap()).to_owned()
        };
        Ok(Page {
            status: response.status().as_u16(),
            location: header("location"),
            cookie: header("set-cookie"),
            response: response.headers().clone(),
            html: response.text().await?,
        })
    }

    pub async fn get(&self, path: &str) -> Page {
        let request = self.client.get(format!("{}{path}", self.url));
        self.send(request).await
    }

    pub fn form(&self, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
        let body = serde_urlencoded(fields);
        self.client
            .post(format!("{}{path}", self.url))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
    }

    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let request = self.form(path, fields).header("origin", &self.url);
        self.send(request).await
    }
}

fn serde_urlencoded(fields: &[(&str, &str)]) -> String {
    let mut body = form_urlencoded::Serializer::new(String::new());
    body.extend_pairs(fields).finish()
}

/// The value of a hidden field.
pub fn hidden(page: &Page, name: &str) -> String {
    let begins = format!("name=\"{name}\" value=\"");
    let value = page.html.split(&begins).nth(1).unwrap();
    value.split('"').next().unwrap().to_owned()
}
