-- Behind a pooler a statement and its COMMIT are two messages. A process that stops in between holds an
-- event's row, and with it everybody who wants tickets, until this limit: no longer than a moment.
do $$
begin
    execute format('alter database %I set idle_in_transaction_session_timeout = %L', current_database(), '1s');
end
$$;
