-- Fail after two seconds without a lock, rather than keep buyers waiting. Not made concurrently: that waits for every
-- open snapshot, also of a second migration that waits for this one, and leaves an index that is not valid. Writes to
-- `booking` wait while it is built: about a second for a million bookings.
set local lock_timeout = '2s';

-- What an event has sold, for its organizer.
create index booking_of_event on booking (event_id, created_at);

-- The holds whose time is over.
create index job_expiring on job (due_at) where kind = 'EXPIRE' and done_at is null;
