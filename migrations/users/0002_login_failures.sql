-- Failed logins by name, whether or not the name is anybody's: guessing is slowed down without
-- telling which names exist. A row is one window of time and starts anew after it.
create table login_failure (
    username_key   text        primary key,
    failures       integer     not null,
    window_ends_at timestamptz not null
);

-- For the clean-up of windows that are over.
create index login_failure_window on login_failure (window_ends_at);
