-- What the functions' accounts may do, each no more than its functions do. The accounts themselves, which
-- are the whole server's, are made before the migrations, by the function that runs them.
do $$
begin
    execute format('revoke all on database %I from public', current_database());
    execute format('grant connect on database %I to admit_organizer, admit_reader, admit_office', current_database());
end
$$;
revoke all on schema public from public;
grant usage on schema public to admit_organizer, admit_reader, admit_office;

-- Organizers make events.
grant select, insert on event to admit_organizer;

-- Who looks changes nothing.
grant select on event, booking to admit_reader;

-- The box office sells what is there, and never changes what an event is or costs.
grant select on event to admit_office;
grant update (available) on event to admit_office;
grant select, insert, update, delete on booking to admit_office;
