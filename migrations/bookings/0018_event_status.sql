-- Fail after two seconds without a lock, rather than keep buyers waiting. A migration for each table that people use: they
-- lock these in different orders.
set local lock_timeout = '2s';

-- Only an event ON_SALE sells.
alter table event
    add column status text not null default 'ON_SALE' constraint event_status check (status in ('DRAFT', 'ON_SALE', 'CANCELLED'));
