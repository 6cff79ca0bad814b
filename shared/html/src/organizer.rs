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
        "time_zone" => t.desk_wrong_zone().to_owned(),
        "currency" => t.desk_wrong_currency().to_owned(),
        "code" => t.desk_wrong_code().to_owned(),
        "value" => t.desk_wrong_value().to_owned(),
        "tax_rate" => t.desk_wrong_tax().to_owned(),
        "min_per_order" => t.desk_wrong_least().to_owned(),
        field if field.starts_with("price") => t.desk_wrong_price().to_owned(),
        field if is_text(field) && detail.starts_with("must be one line") => {
            t.desk_wrong_text().to_owned()
        }
        field if is_text(field) => t.desk_wrong_taken().to_owned(),
        _ => match bounds(detail) {
            Some((least, most)) => t.desk_wrong_number(least, most),
            None => t.desk_wrong_more().to_owned(),
        },
    }
}

fn is_text(field: &str) -> bool {
    field.starts_with("name") || matches!(field, "venue" | "description")
}

/// The bounds of a whole number, of the API's text that says them.
fn bounds(detail: &str) -> Option<(u32, u32)> {
    let (least, most) = detail
        .strip_prefix("must be a whole number from ")?
        .split_once(" to ")?;
    Some((least.parse().ok()?, most.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_says_in_both_languages_what_it_takes() {
        for (field, detail, english, german) in [
            (
                "capacity",
                "must be a whole number from 1 to 1000000",
                "Enter a whole number from 1 to 1000000.",
                "Geben Sie eine ganze Zahl von 1 bis 1000000 ein.",
            ),
            (
                "units",
                "must not exceed the capacity of the event or of a quota",
                "Enter a smaller number. The event or one of its limits has no more.",
                "Geben Sie eine kleinere Zahl ein. Mehr hat die Veranstaltung oder eines ihrer Kontingente nicht.",
            ),
            (
                "name_0",
                "is already used by another ticket type",
                "Enter another name. This one is taken, or can’t be used here.",
                "Geben Sie einen anderen Namen ein. Dieser ist vergeben oder hier nicht möglich.",
            ),
        ] {
            assert_eq!(wrong(Language::English, field, detail), english);
            assert_eq!(wrong(Language::German, field, detail), german);
        }
    }
}
