//! The lines of a basket as statements take them, and as they stand now.

use super::BookingRequest;
use runtime::faults::FailPoint;
use stores::db::Db;
use values::ids::{EventId, PromoCode, TicketTypeId};

/// What a request asks for, as two lists for a statement. A type that is null is the event's default type.
pub(super) struct Lines {
    pub types: Vec<Option<TicketTypeId>>,
    pub quantities: Vec<i32>,
}

impl Lines {
    pub(super) fn of(request: &BookingRequest) -> Self {
        let items = request.items.iter();
        let items = items.map(|item| (Some(item.ticket_type_id), item.quantity.get()));
        let tickets = request.tickets.map(|tickets| (None, tickets.get()));
        let (types, quantities) = tickets.into_iter().chain(items).unzip();
        Self { types, quantities }
    }

    /// How each line stands now. No lines where there is no such event.
    pub(super) async fn state(
        &self,
        db: &Db,
        event_id: &EventId,
        code: Option<&PromoCode>,
    ) -> Result<Vec<LineState>, sqlx::Error> {
        sqlx::query_as!(
            LineState,
            r#"
            with line as (
                select e.starts_at <= now() or e.status <> 'ON_SALE' as closed, e.currency, max_tickets_per_booking as most,
                       e.available as outside, number, quantity, t.*,
                       (t.sale_from <= now()) is not false and (now() < t.sale_until) is not false as on_sale
                  from event e
                  cross join unnest($2::uuid[], $3::int[]) with ordinality as wanted (id, quantity, number)
                  left join lateral (
                        select t.ticket_type_id, t.name, is_default, min_per_order, max_per_order, sale_from, sale_until,
                               price_with_code(t.price_minor, o.kind, o.value) as unit_minor, o.code, o.counts,
                               o.quota_id as code_quota
                          from ticket_type t
                          left join promo_code_offer o
                                 on o.event_id = t.event_id and o.code = $4 and o.ticket_type_id = t.ticket_type_id
                         where t.event_id = e.event_id and t.archived_at is null
                           and (t.access = 'PUBLIC' or t.access = 'CODE' and o.unlocks)
                           and (t.ticket_type_id = wanted.id or wanted.id is null and t.is_default)) t on true
                 where e.event_id = $1
            ), part as (
                select quota_id, line.quantity * units as need, outside
                  from line join ticket_type_quota using (ticket_type_id)
                 union all
                select code_quota, case counts when 'ORDERS' then 1 else sum(quantity) end, 0
                  from line
                 where code_quota is not null
                 group by code_quota, counts
            ), want as (
                select q.quota_id, q.kind, sum(need)::int as need,
                       (select coalesce(sum(free), 0)::int from stock where stock.quota_id = q.quota_id) as free,
                       case when q.kind = 'ROOT' then max(outside) else 0 end as outside
                  from part join quota q using (quota_id)
                 group by q.quota_id
            )
            select closed as "closed!", currency as "currency!", most as "most!", quantity as "quantity!",
                   name as "name?", on_sale as "on_sale!", coalesce(min_per_order, 1)::int as "least!",
                   least(max_per_order, most)::int as "most_of_type!", coalesce(unit_minor, 0) as "unit_minor!",
                   code is not null as "with_code!",
                   exists (select from promo_code_offer o join ticket_type t using (ticket_type_id)
                            where o.event_id = $1 and o.code = $4 and t.archived_at is null
                              and (t.access = 'PUBLIC' or t.access = 'CODE' and o.unlocks)) as "code_is_valid!",
                   exists (select from want where kind = 'USES' and need > free) as "code_used_up!",
                   exists (select from ticket_type_quota d join want using (quota_id)
                            where d.ticket_type_id = line.ticket_type_id and need > free + want.outside) as "sold_out!",
                   (select need from want where need > free and want.outside > 0) as "to_move_in?"
              from line
             order by number
            "#,
            event_id as &EventId,
            &self.types as &[Option<TicketTypeId>],
            &self.quantities,
            code as Option<&PromoCode>,
        )
        .fetch_all(db.idempotent(FailPoint("ExplainEvent")))
        .await
    }
}

/// A line of a basket, as its type and quotas are now.
pub(super) struct LineState {
    /// Whether its event has begun, or is not on sale.
    pub closed: bool,
    pub currency: String,
    /// Whether the request's code is good for anything now.
    pub code_is_valid: bool,
    pub code_used_up: bool,
    /// Whether the request's code is good for this type.
    pub with_code: bool,
    /// What one ticket costs, with the code.
    pub unit_minor: i64,
    /// Tickets that one booking of the event may have.
    pub most: i32,
    pub quantity: i32,
    /// The type's name; none where it can't be bought by everybody.
    pub name: Option<String>,
    pub on_sale: bool,
    pub least: i32,
    pub most_of_type: i32,
    /// Whether a quota of its type has not enough for the basket.
    pub sold_out: bool,
    /// What the basket needs of the ROOT quota, if its stock is too small and a release from before `stock` keeps
    /// tickets in `event.available`.
    pub to_move_in: Option<i32>,
}
