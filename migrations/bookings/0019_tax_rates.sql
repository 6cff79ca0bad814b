-- Fail after two seconds without a lock, rather than keep buyers waiting.
set local lock_timeout = '2s';

-- The tax that is part of a price, in hundredths of a percent.
alter table ticket_type
    add column tax_rate_bp integer not null default 0 constraint ticket_type_tax check (tax_rate_bp between 0 and 10000);
