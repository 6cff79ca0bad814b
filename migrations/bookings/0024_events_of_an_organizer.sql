-- Fail after two seconds without a lock, rather than keep buyers waiting. Writes to `event` wait while the index is built:
-- about a second for a million events.
set local lock_timeout = '2s';

-- What an organizer sees of their own.
create index event_of_organizer on event (organizer_id, starts_at, event_id);

-- The right of `admit_desk` to change `purchase.most` is the release before this one's; a later release takes it away.
