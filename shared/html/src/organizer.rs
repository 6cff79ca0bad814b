//! What the pages of organizers share.

use shared::db::Db;
use shared::events::{self, GetEventError, OwnEvent, OwnEventError};
use shared::http::Problem;
use shared::ids::{EventId, UserId};

use crate::language::Language;

/// An event of the visitor's. Another person's is not found.
pub(crate) async fn own(db: &Db, user: UserId, event_id: &EventId) -> Result<OwnEvent, Problem> {
    let own = events::own(db, user, event_id, None).await;
    own.map_err(|error| match error {
        OwnEventError::NotFound | OwnEventError::NotOrganizer => GetEventError::NotFound.into(),
        error @ (OwnEventError::Stale { .. } | OwnEventError::Database(_)) => error.into(),
    })
}

/// What is wrong with a field, for who filled in the form.
pub(crate) fn wrong(t: Language, field: &str, detail: &str) -> String {
    match field {
        "date" | "starts_at" => t.desk_wrong_date().to_owned(),
        "ends_at" => t.desk_wrong_end().to_owned(),
        "sale_from" | "sale_until" | "valid_from" | "valid_until" => {
            t.desk_wrong_window().to_owned()
        }
        field if field.starts_with("price") => t.desk_wrong_price().to_owned(),
        _ => t.desk_wrong(detail),
    }
}
