-- A code never raises a price: where it sets one, a ticket that costs less keeps its own.
create or replace function price_with_code(price_minor bigint, kind text, value bigint) returns bigint language sql immutable as $$
    select case kind when 'PERCENT' then price_minor - (price_minor * value + 50) / 100
                     when 'FIXED' then greatest(price_minor - value, 0)
                     when 'PRICE' then least(price_minor, value)
                     else price_minor end
$$;
