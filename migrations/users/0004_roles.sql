-- What the functions' accounts may do, each no more than its functions do. The accounts themselves, which
-- are the whole server's, are made before the migrations, by the function that runs them.
do $$
begin
    execute format('revoke all on database %I from public', current_database());
    execute format('grant connect on database %I to admit_register, admit_login', current_database());
end
$$;
revoke all on schema public from public;
grant usage on schema public to admit_register, admit_login;

-- Registering writes a row and reads its number back, but no hash.
grant insert on account to admit_register;
grant select (user_id, username) on account to admit_register;

-- Logging in reads what it compares, and counts what was wrong.
grant select (user_id, username, password_hash) on account to admit_login;
grant select, insert, update, delete on login_failure to admit_login;
