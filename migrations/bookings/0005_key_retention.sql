-- For the clean-up of idempotency keys that are old: the rows that still have one, oldest first.
create index booking_key_age on booking (created_at) where idempotency_key is not null;
