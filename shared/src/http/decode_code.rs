//! The bodies of promo codes. Their amounts are of the event's currency.

use domain::events::{
    CodeAmount, CodeKind, CodeType, MAX_PRICE, MAX_TYPES, NewPromotion, PromotionChange,
};
use values::money::{Currency, Money, Number};
use values::time::Moment;

use super::body::{Decode, Fields};
use super::problem::Problem;

impl Decode for CodeType {
    fn decode(fields: &mut Fields) -> Option<Self> {
        let ticket_type_id = fields.required("ticket_type_id");
        let unlocks = fields.optional::<bool>("unlocks");
        Some(Self {
            ticket_type_id: ticket_type_id?,
            unlocks: unlocks?.unwrap_or_default(),
        })
    }
}

/// A promo code for an event with this currency.
///
/// # Errors
/// 422 with every field at fault.
pub fn decode_code(fields: Fields, currency: Currency) -> Result<NewPromotion, Problem> {
    fields.decode_by(|fields| {
        let code = fields.required("code");
        let kind = fields.required::<CodeKind>("kind");
        let value = match kind {
            Some(kind) => value_of(fields, kind, currency),
            // Whatever it is, it is a field.
            None => fields.optional::<Number>("value").and(None),
        };
        let uses = fields.optional("uses");
        let counts = fields.optional("counts");
        let valid_from = fields.optional::<Moment>("valid_from");
        let valid_until = fields.optional::<Moment>("valid_until");
        let ticket_types = fields.list::<CodeType>("ticket_types", MAX_TYPES);
        check_types(ticket_types.as_deref().unwrap_or_default(), fields);
        if let (Some(Some(Moment(from))), Some(Some(Moment(until)))) = (valid_from, valid_until)
            && until <= from
        {
            fields.reject("valid_until", "must be after valid_from");
        }
        Some(NewPromotion {
            code: code?,
            kind: kind?,
            value: value?,
            uses: uses?,
            counts: Option::unwrap_or_default(counts?),
            valid_from: valid_from?.map(|Moment(from)| from),
            valid_until: valid_until?.map(|Moment(until)| until),
            ticket_types: ticket_types?,
        })
    })
}

/// Changes of a promo code of this kind, of an event with this currency.
///
/// # Errors
/// 422 with every field at fault.
pub fn decode_code_change(
    fields: Fields,
    kind: CodeKind,
    currency: Currency,
) -> Result<PromotionChange, Problem> {
    fields.decode_by(|fields| {
        let value = if fields.names("value") {
            value_of(fields, kind, currency).map(Some)
        } else {
            Some(None)
        };
        let uses = fields.changed_or_removed("uses");
        let valid_from = fields.changed_or_removed::<Moment>("valid_from");
        let valid_until = fields.changed_or_removed::<Moment>("valid_until");
        let gives_types = fields.names("ticket_types");
        let types = fields.list::<CodeType>("ticket_types", MAX_TYPES);
        check_types(types.as_deref().unwrap_or_default(), fields);
        Some(PromotionChange {
            value: value?,
            uses: uses?,
            valid_from: valid_from?.map(|from| from.map(|Moment(from)| from)),
            valid_until: valid_until?.map(|until| until.map(|Moment(until)| until)),
            ticket_types: types.map(|types| gives_types.then_some(types))?,
        })
    })
}

fn value_of(fields: &mut Fields, kind: CodeKind, currency: Currency) -> Option<CodeAmount> {
    if kind == CodeKind::None {
        fields.refuse("value", "can't be given with NONE");
        return Some(CodeAmount::Nothing);
    }
    let number = fields.required::<Number>("value")?;
    if kind == CodeKind::Percent {
        let percent = number
            .to_whole()
            .filter(|percent| (1..=100).contains(percent));
        if percent.is_none() {
            fields.reject("value", "must be a whole number from 1 to 100 for PERCENT");
        }
        return percent.map(CodeAmount::Percent);
    }
    Money::new(number, currency, MAX_PRICE)
        .inspect_err(|error| fields.reject("value", error))
        .ok()
        .map(CodeAmount::Amount)
}

fn check_types(types: &[CodeType], fields: &mut Fields) {
    for (place, named) in types.iter().enumerate() {
        let mut earlier = types.iter().take(place);
        if earlier.any(|other| other.ticket_type_id == named.ticket_type_id) {
            let pointer = format!("ticket_types/{place}/ticket_type_id");
            fields.reject_at(&pointer, "is given twice");
        }
    }
}
