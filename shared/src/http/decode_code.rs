//! The bodies of promo codes. Their amounts are of the event's currency.

use domain::events::{
    MAX_PRICE, MAX_TYPES, NewPromoCode, PromoCodeAmount, PromoCodeChange, PromoCodeKind,
    PromoCodeType,
};
use values::money::{Currency, Money, Number};
use values::time::Moment;

use super::body::{Decode, Fields};
use super::problem::Problem;

impl Decode for PromoCodeType {
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
pub fn decode_code(fields: Fields, currency: Currency) -> Result<NewPromoCode, Problem> {
    fields.decode_by(|fields| {
        let code = fields.required("code");
        let kind = fields.required::<PromoCodeKind>("kind");
        let value = match kind {
            Some(kind) => value_of(fields, kind, currency),
            // The kind is invalid. Take `value` anyway, so that it isn't reported as an unknown field.
            None => fields.optional::<Number>("value").and(None),
        };
        let uses = fields.optional("uses");
        let counts = fields.optional("counts");
        let valid_from = fields.optional::<Moment>("valid_from");
        let valid_until = fields.optional::<Moment>("valid_until");
        let ticket_types = fields.list::<PromoCodeType>("ticket_types", MAX_TYPES);
        check_types(ticket_types.as_deref().unwrap_or_default(), fields);
        if let (Some(Some(Moment(from))), Some(Some(Moment(until)))) = (valid_from, valid_until)
            && until <= from
        {
            fields.reject("valid_until", "must be after valid_from");
        }
        Some(NewPromoCode {
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
    kind: PromoCodeKind,
    currency: Currency,
) -> Result<PromoCodeChange, Problem> {
    fields.decode_by(|fields| {
        let value = if fields.names("value") {
            value_of(fields, kind, currency).map(Some)
        } else {
            Some(None)
        };
        let uses = fields.changed_or_removed("uses");
        let valid_from = fields.changed_or_removed::<Moment>("valid_from");
        let valid_until = fields.changed_or_removed::<Moment>("valid_until");
        let types = fields.changed_list::<PromoCodeType>("ticket_types", MAX_TYPES);
        if let Some(Some(types)) = &types {
            check_types(types, fields);
        }
        Some(PromoCodeChange {
            value: value?,
            uses: uses?,
            valid_from: valid_from?.map(|from| from.map(|Moment(from)| from)),
            valid_until: valid_until?.map(|until| until.map(|Moment(until)| until)),
            ticket_types: types?,
        })
    })
}

fn value_of(
    fields: &mut Fields,
    kind: PromoCodeKind,
    currency: Currency,
) -> Option<PromoCodeAmount> {
    if kind == PromoCodeKind::None {
        fields.refuse("value", "can't be given with NONE");
        return Some(PromoCodeAmount::Nothing);
    }
    let number = fields.required::<Number>("value")?;
    if kind == PromoCodeKind::Percent {
        let percent = number
            .to_whole()
            .filter(|percent| (1..=100).contains(percent));
        if percent.is_none() {
            fields.reject("value", "must be a whole number from 1 to 100 for PERCENT");
        }
        return percent.map(PromoCodeAmount::Percent);
    }
    Money::new(number, currency, MAX_PRICE)
        .inspect_err(|error| fields.reject("value", error))
        .ok()
        .map(PromoCodeAmount::Amount)
}

fn check_types(types: &[PromoCodeType], fields: &mut Fields) {
    for (place, named) in types.iter().enumerate() {
        let mut earlier = types.iter().take(place);
        if earlier.any(|other| other.ticket_type_id == named.ticket_type_id) {
            let pointer = format!("ticket_types/{place}/ticket_type_id");
            fields.reject_at(&pointer, "is given twice");
        }
    }
}
