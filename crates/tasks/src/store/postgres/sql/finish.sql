-- Lets a waiting job begin at a time.
create function @side@.schedule(job uuid, at bigint, now_us bigint) returns void language plpgsql as $$
begin
    update @side@.jobs set score = score + (at - due), due = at, wake = at, waiting_for = 0,
        place = case when at > now_us then 1 else 0 end where id = job;
    update @engine@._private_jobs e set run_at = @side@.at(at)
        from @side@.jobs s where s.id = job and e.id = s.engine_id;
end $$;

-- Ends a job wherever it is; its row of the engine goes.
create function @side@.end_job(job uuid, new_state smallint, now_us bigint, new_output bytea, new_failure text, new_cancel text)
returns void language plpgsql as $$
declare s @side@.jobs; left_payload json;
begin
    select * into s from @side@.jobs where id = job for update;
    delete from @engine@._private_jobs where id = s.engine_id returning payload into left_payload;
    if s.engine_queue is not null and s.place = 4 then
        update @engine@._private_job_queues set locked_at = null, locked_by = null
            where id = s.engine_queue and locked_by = s.locked_by;
    end if;
    update @side@.jobs set state = new_state, place = 5, lease = null, engine_id = null, ended = now_us,
        expires = greatest(now_us + case when new_state = 3 then keep_failed else keep_ended end,
            enqueued + coalesce(unique_within, 0)),
        output = coalesce(new_output, output), failure = coalesce(new_failure, failure),
        cancel = coalesce(new_cancel, cancel), payload = coalesce(left_payload, payload)
        where id = job;
    -- One that was to begin next lets the next one of its key try.
    if s.limit_key is not null and s.place in (0, 1) then
        perform @side@.free_keys(array[s.limit_key]);
    end if;
end $$;

-- Lets a job that ran wait again.
create function @side@.again(job uuid, at bigint, now_us bigint, counted boolean, new_failure text, message text)
returns void language plpgsql as $$
declare s @side@.jobs;
begin
    update @side@.jobs set state = 0, lease = null, attempts = attempts - case when counted then 0 else 1 end,
        failure = coalesce(new_failure, failure), score = score + (at - due), due = at, wake = at,
        place = case when at > now_us then 1 else 0 end
        where id = job returning * into s;
    update @engine@._private_jobs set locked_at = null, locked_by = null, run_at = @side@.at(at),
        attempts = least(s.attempts, max_attempts - 1), last_error = coalesce(message, last_error), updated_at = now()
        where id = s.engine_id and locked_by = s.locked_by;
    if s.engine_queue is not null then
        update @engine@._private_job_queues set locked_at = null, locked_by = null
            where id = s.engine_queue and locked_by = s.locked_by;
    end if;
end $$;

-- Lets the first of each lane of these keys try, since nobody knows which of them the next worker can take. Those that
-- wait for a window have lanes of their own: they are not to stand behind what waits for a place.
create function @side@.free_keys(keys text[]) returns void language sql as $$
    update @side@.jobs set place = 0 where id in (
        select distinct on (limit_key, paced, queue, kind) id from @side@.jobs where place = 2 and limit_key = any(keys)
        order by limit_key, paced, queue, kind, score, engine_id)
$$;

-- Of the keys whose window is over: one may try, and each that starts lets the next one try, until the window is full.
-- Within the gate.
create function @side@.open_windows(now_us bigint) returns void language plpgsql as $$
declare keys text[];
begin
    with over as (delete from @side@.opens where at <= now_us returning key) select array_agg(key) into keys from over;
    if keys is not null then perform @side@.free_keys(keys); end if;
end $$;

-- Tells those that wait for these jobs that they ended; returns those that can never begin.
create function @side@.release(ids uuid[], completed boolean, now_us bigint) returns uuid[] language plpgsql as $$
declare d record; doomed uuid[] := '{}';
begin
    for d in
        select j.id, j.waiting_for - n.ended as waits, j.due, j.run_anyway
        -- One that was cancelled and taken up again does not wait for anybody any more.
        from (select dependent, count(*)::int as ended from @side@.needs where needed = any(ids) group by 1) n
        join @side@.jobs j on j.id = n.dependent where j.place = 3 order by j.id for update of j
    loop
        if not completed and not d.run_anyway then
            doomed := doomed || d.id;
        elsif d.waits > 0 then
            update @side@.jobs set waiting_for = d.waits where id = d.id;
        else
            perform @side@.schedule(d.id, greatest(d.due, now_us), now_us);
        end if;
    end loop;
    delete from @side@.needs where needed = any(ids);
    update @side@.jobs set dependents = 0 where id = any(ids) and dependents > 0;
    return doomed;
end $$;

-- Cancels waiting jobs and all that depend on them; returns which.
create function @side@.cancel_waiting(doomed uuid[], reason text, now_us bigint) returns uuid[] language plpgsql as $$
declare s @side@.jobs; ended uuid[] := '{}';
begin
    while cardinality(doomed) > 0 loop
        select * into s from @side@.jobs where id = doomed[cardinality(doomed)] for update;
        doomed := doomed[1:cardinality(doomed) - 1];
        continue when s.id is null or s.state <> 0;
        perform @side@.end_job(s.id, 4::smallint, now_us, null, null, reason);
        ended := ended || s.id;
        if s.dependents > 0 then
            doomed := doomed || @side@.release(array[s.id], false, now_us);
        end if;
    end loop;
    return ended;
end $$;

-- What follows from ends of one kind; returns who ended besides.
create function @side@.follow(ids uuid[], completed boolean, now_us bigint) returns uuid[] language sql as $$
    select @side@.cancel_waiting(@side@.release(ids, completed, now_us),
        'a job that it depends on did not complete', now_us)
$$;

create function @side@.cancel(job uuid, reason text, me text, out new_state smallint, out ended uuid[])
language plpgsql as $$
declare now_us bigint := @side@.now_us();
begin
    ended := '{}';
    select state into new_state from @side@.jobs where id = job for update;
    if new_state = 0 then
        ended := @side@.cancel_waiting(array[job], reason, now_us);
        new_state := 4;
        perform @side@.tell_ids(me, 'e', ended);
    elsif new_state = 1 then
        update @side@.jobs set cancel = reason where id = job and cancel is null;
        perform @side@.tell_ids(me, 'c', array[job]);
    end if;
end $$;
