-- Limits of every session, set on the database, as a pooler in transaction mode hands no session's
-- own settings on. A function that gave up waiting, or was frozen in the middle, holds nobody up.
do $$
begin
    execute format('alter database %I set statement_timeout = %L', current_database(), '5s');
    execute format('alter database %I set lock_timeout = %L', current_database(), '3s');
    execute format('alter database %I set idle_in_transaction_session_timeout = %L', current_database(), '5s');
end
$$;
