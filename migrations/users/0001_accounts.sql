-- People who log in. Kept apart from bookings, so that only the functions that register and log in
-- can read a password hash.
create table account (
    user_id       bigint generated always as identity primary key,
    username      text        not null,
    -- Argon2id in PHC format, with its own salt and parameters.
    password_hash text        not null,
    email         text,
    created_at    timestamptz not null default now()
);

-- A name is one person's, however it is capitalized.
create unique index account_username on account (lower(username));
