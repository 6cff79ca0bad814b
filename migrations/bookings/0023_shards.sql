-- How the units of a new quota are split: over a shard for each 50, 64 at most.
create function shards_of(capacity integer) returns table (shard smallint, free integer) language sql immutable as $$
    select n::smallint, capacity / shards + (n < capacity % shards)::int
      from (select least(64, greatest(1, capacity / 50)) as shards) split, generate_series(0, shards - 1) as n
$$;
