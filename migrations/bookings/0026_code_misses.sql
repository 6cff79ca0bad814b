-- Promo codes that an event does not have, counted by who asked for them, so that codes can't be guessed. `asker` is a hash
-- of the event with an address or a user. A row is one window of time, and starts anew after it.
create table code_miss (
    asker          text        primary key,
    misses         integer     not null,
    window_ends_at timestamptz not null
);

-- For the clean-up of windows that are over.
create index code_miss_window on code_miss (window_ends_at);

-- All that those who only read may write.
grant select, insert, update, delete on code_miss to admit_reader, admit_office;
