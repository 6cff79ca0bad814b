-- What could not be settled or refunded is tried again after a pause that grows, so that a few that
-- fail for long neither hammer the payment function nor stand in the way of all others.
alter table booking
    add column attempts        integer     not null default 0,
    -- Null: as soon as the sweep comes by.
    add column next_attempt_at timestamptz;
