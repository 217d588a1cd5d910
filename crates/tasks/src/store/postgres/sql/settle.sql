-- Ends jobs that are done, row by row where they lie, as `take` begins them.
create function @side@.complete(rows tid[], engine_rows tid[], numbers bigint[], ords int[], results bytea[], locks text[],
    now_us bigint)
returns table (o_ord int, o_id uuid, o_dependents int, o_limit_key text)
language plpgsql set enable_seqscan = off set enable_indexscan = off set enable_bitmapscan = off set enable_nestloop = off
    set enable_hashjoin = on
    set jit = off set plan_cache_mode = force_generic_plan as $$
begin
    return query with gone as (
        delete from @engine@._private_jobs e where e.ctid = any(engine_rows) and e.locked_by = any(locks) returning e.id, e.payload
    ), ends as materialized (
        select u.ord, u.output, g.id, g.payload from gone g join unnest(numbers, ords, results) u(id, ord, output) on u.id = g.id
    )
    update @side@.jobs s set state = 2, place = 5, lease = null, engine_id = null, ended = now_us,
        expires = greatest(now_us + s.keep_ended, s.enqueued + coalesce(s.unique_within, 0)),
        output = e.output, payload = e.payload
    from ends e where s.ctid = any(rows) and s.engine_id = e.id
    returning e.ord, s.id, s.dependents, s.limit_key;
end $$;

-- Ends claims. how: 0 completed, 1 retry, 2 failed, 3 cancelled, 4 snoozed, 5 returned.
-- what: 1 an accepted end by its number, 2 another one that ended, 3 something may be ready.
create function @side@.settle(ids uuid[], given_fences bigint[], hows smallint[], outputs bytea[], failures text[],
    texts text[], afters bigint[], me text)
returns table (what smallint, o_ord int, o_id uuid) language plpgsql set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off
    set plan_cache_mode = force_generic_plan as $$
declare
    now_us bigint := @side@.now_us();
    rows tid[]; engine_rows tid[]; numbers bigint[]; ords int[]; results bytea[]; engine_queues int[]; locks text[];
    done int[]; done_ids uuid[]; parents uuid[]; keys text[] := '{}'; others uuid[] := '{}'; ended uuid[] := '{}';
    ready boolean := false; rest record; failed boolean;
begin
    -- Few jobs have a key, and it is cheaper to see that none of them runs than to look at each of these.
    if exists (select 1 from @side@.jobs where place = 4 and limit_key is not null)
        and exists (select 1 from unnest(ids) u(id) cross join lateral (
            select from @side@.jobs s where s.id = u.id and s.limit_key is not null offset 0) x)
    then
        perform @side@.gate();
    end if;
    -- What is done, which is most, goes at once.
    select array_agg(h.at), array_agg(h.engine_id), array_agg(h.ord::int), array_agg(h.output),
        array_agg(h.engine_queue) filter (where h.engine_queue is not null), array_agg(distinct h.locked_by)
    into rows, numbers, ords, results, engine_queues, locks
    from (
        select f.ord, f.output, s.* from (
            select distinct on (u.id, u.fence) u.* from unnest(ids, given_fences, hows, outputs) with ordinality as u(id, fence, how, output, ord)
            order by u.id, u.fence, u.ord
        ) f cross join lateral (
            select s.ctid as at, s.engine_id, s.engine_queue, s.locked_by from @side@.jobs s
            where s.id = f.id and s.fence = f.fence and s.place + 0 = 4 and s.lease > now_us for update
        ) s where f.how = 0 offset 0
    ) h;
    -- Looked up once ours are locked: a sign of life may have moved them just before.
    select array_agg(e.at) into engine_rows from unnest(numbers) u(number) cross join lateral (
        select e.ctid as at from @engine@._private_jobs e where e.id = u.number and e.locked_by = any(locks) for update
    ) e;
    if rows is not null then
        select array_agg(c.o_ord), array_agg(c.o_id), array_agg(c.o_id) filter (where c.o_dependents > 0),
            coalesce(array_agg(c.o_limit_key) filter (where c.o_limit_key is not null), '{}')
        into done, done_ids, parents, keys from @side@.complete(rows, engine_rows, numbers, ords, results, locks, now_us) c;
        if engine_queues is not null then
            update @engine@._private_job_queues k set locked_at = null, locked_by = null
                where k.id = any(engine_queues) and k.locked_by = any(locks);
        end if;
    end if;
    if parents is not null then
        others := @side@.follow(parents, true, now_us);
        ready := true;
    end if;
    return query select 1::smallint, o, null::uuid from unnest(done) o;
    ended := coalesce(done_ids, '{}');

    -- Nothing else came with most calls.
    if not 0 = all(hows) then
    for rest in
        select u.*, s.attempts, s.max_attempts, s.cancel, s.due, s.dependents, s.limit_key from (
            select distinct on (x.id, x.fence) x.* from unnest(ids, given_fences, hows, failures, texts, afters)
                with ordinality as x(id, fence, how, failure, txt, after, ord) order by x.id, x.fence, x.ord) u
        join @side@.jobs s on s.id = u.id and s.fence = u.fence and s.place + 0 = 4 and s.lease > now_us
        where u.how <> 0 order by s.id for update of s
    loop
        -- Somebody else gave it free or ended it within the engine.
        continue when not exists (select 1 from @side@.jobs s join @engine@._private_jobs e on e.id = s.engine_id
            where s.id = rest.id and e.locked_by = s.locked_by);
        failed := rest.how = 2 or (rest.how = 1 and rest.cancel is null and rest.attempts >= rest.max_attempts);
        if failed or rest.how = 3 or rest.cancel is not null then
            perform @side@.end_job(rest.id, (case when failed then 3 else 4 end)::smallint, now_us, null,
                case when failed then rest.failure end, case when failed then null else coalesce(rest.cancel, rest.txt) end);
            ended := ended || rest.id;
            if rest.dependents > 0 then
                others := others || @side@.follow(array[rest.id], false, now_us);
                ready := true;
            end if;
        else
            perform @side@.again(rest.id, case when rest.how = 5 then rest.due else now_us + rest.after end, now_us, rest.how = 1,
                case when rest.how = 1 then rest.failure end, case when rest.how = 1 then rest.txt end);
            ready := true;
        end if;
        if rest.limit_key is not null then keys := keys || rest.limit_key; end if;
        return query select 1::smallint, rest.ord::int, null::uuid;
    end loop;
    end if;
    if cardinality(keys) > 0 then
        perform @side@.free_keys(keys);
        ready := true;
    end if;
    perform @side@.tell_ids(me, 'e', ended || others);
    if ready then perform @side@.tell(me, 'r'); end if;
    return query select 2::smallint, 0, x from unnest(others) x;
    if ready then return query select 3::smallint, 0, null::uuid; end if;
end $$;

-- A sign of life. what: 1 a lease that is held, 2 a report that counted.
create function @side@.beat(worker text, worker_info text, ids uuid[], given_fences bigint[], term bigint, reported uuid[],
    report_fences bigint[], reports bytea[], report_attempts int[], report_numbers bigint[], me text)
returns table (what smallint, o_ord int, o_id uuid, o_cancel text) language plpgsql set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off
    set plan_cache_mode = force_generic_plan as $$
declare now_us bigint := @side@.now_us(); counted uuid[];
begin
    perform set_config('synchronous_commit', 'off', true);
    insert into @side@.workers values (worker, worker_info, now_us, now_us + 3 * term)
        on conflict (id) do update set info = excluded.info, seen = excluded.seen, until = excluded.until;
    if cardinality(ids) > 0 then
        return query with held as materialized (
            select s.id, s.engine_id, s.locked_by, s.cancel, u.ord from unnest(ids, given_fences) with ordinality as u(id, fence, ord)
            join @side@.jobs s on s.id = u.id and s.fence = u.fence and s.place + 0 = 4 and s.lease > now_us
            order by s.id for update of s
        ), engine as (
            -- The engine's own recovery takes what was locked long ago.
            update @engine@._private_jobs e set locked_at = now() from held h
            where e.id = h.engine_id and e.locked_by = h.locked_by returning e.id
        ), longer as (
            update @side@.jobs s set lease = now_us + term from held h join engine e on e.id = h.engine_id where s.id = h.id
        )
        select 1::smallint, h.ord::int, null::uuid, h.cancel from held h join engine e on e.id = h.engine_id;
    end if;
    if cardinality(reported) > 0 then
        with newest as (
            select distinct on (u.id) u.* from unnest(reported, report_fences, reports, report_attempts, report_numbers)
                as u(id, fence, report, attempt, number) order by u.id, u.number desc
        ), told as (
            update @side@.jobs s set progress = n.report, progress_attempt = n.attempt, progress_number = n.number
            from newest n where s.id = n.id and s.fence = n.fence and s.place + 0 = 4 and s.lease > now_us
                and (s.progress_number is null or s.progress_number < n.number) returning s.id
        )
        select coalesce(array_agg(t.id), '{}') into counted from told t;
        perform @side@.tell_ids(me, 'p', counted);
        return query select 2::smallint, 0, x, null::text from unnest(counted) x;
    end if;
end $$;

create function @side@.replay(ids uuid[], age bigint) returns bigint language plpgsql as $$
declare now_us bigint := @side@.now_us(); s @side@.jobs; n bigint := 0; fresh bigint; first uuid; was @side@.jobs;
begin
    for s in select * from @side@.jobs where id = any(ids) and state in (3, 4) order by id for update loop
        if s.unique_key is not null then
            select job into first from @side@.uniques where key = s.unique_key for update;
            if first <> s.id then
                select * into was from @side@.jobs where id = first;
                -- Another one may have taken its place meanwhile.
                continue when was.id is not null
                    and (s.unique_within is null or now_us - was.enqueued < s.unique_within)
                    and case coalesce(s.spec::jsonb #>> '{unique,scope}', 'unfinished') when 'pending' then was.state = 0
                        when 'unfinished' then was.state < 2 when 'not_failed' then was.state < 3 else true end;
            end if;
            insert into @side@.uniques (key, job) values (s.unique_key, s.id)
                on conflict (key) do update set job = excluded.job;
        end if;
        select e.id into fresh from @engine@.add_jobs(array[row(s.kind, coalesce(s.payload, 'null'), null, now(),
            least(s.max_attempts, 32767)::smallint, null, @side@.engine_priority(s.level),
            array['bedplate', s.id::text])::@engine@.job_spec]) e;
        -- It is wanted again, whatever was said about its time.
        update @side@.jobs set state = 0, place = 0, engine_id = fresh, engine_queue = null, attempts = 0, waiting_for = 0,
            cancel = null, ended = null, expires = null, worker = null, deadline = null, payload = null,
            due = now_us, wake = now_us, score = @side@.score(now_us, s.level, age) where id = s.id;
        n := n + 1;
    end loop;
    return n;
end $$;

-- One part of a sweep. what: 1 numbers (rescued, crashed, overdue, pruned, more), 2 one that ended.
create function @side@.sweep(part int, me text)
returns table (what smallint, o_id uuid, o_rescued int, o_crashed int, o_overdue int, o_pruned int, o_more boolean)
language plpgsql as $$
declare
    now_us bigint := @side@.now_us(); s @side@.jobs; e @engine@._private_jobs; rescued int := 0; crashed int := 0;
    overdue int := 0; pruned int := 0; seen int := 0; ended uuid[] := '{}'; keys text[] := '{}'; looked int; one record; seat @side@.sweeps;
    crash text := '{"kind":"crashed","message":"the worker gave no sign of life within the lease","error":null}';
begin
    -- Somebody else sweeps.
    if not pg_try_advisory_xact_lock(hashtext('@side@'), 2) then
        return query select 1::smallint, null::uuid, 0, 0, 0, 0, false;
        return;
    end if;
    perform @side@.gate();
    for s in select * from @side@.jobs where place = 4 and lease <= now_us order by lease limit part for update skip locked loop
        seen := seen + 1;
        select * into e from @engine@._private_jobs where id = s.engine_id for update;
        if s.cancel is not null or e.id is null then
            perform @side@.end_job(s.id, 4::smallint, now_us, null, null, coalesce(s.cancel, 'its row was removed from the engine'));
            ended := ended || s.id || @side@.follow(array[s.id], false, now_us);
        elsif s.attempts >= s.max_attempts then
            crashed := crashed + 1;
            perform @side@.end_job(s.id, 3::smallint, now_us, null, crash, null);
            ended := ended || s.id || @side@.follow(array[s.id], false, now_us);
        else
            rescued := rescued + 1;
            -- It keeps its place: it was due before all that came while it lay with the dead.
            perform @side@.again(s.id, s.due, now_us, true, crash, 'the worker gave no sign of life within the lease');
        end if;
        if s.limit_key is not null then keys := keys || s.limit_key; end if;
    end loop;
    perform @side@.free_keys(keys);
    for s in select * from @side@.jobs where place < 4 and deadline is not null and deadline <= now_us
        order by deadline limit part for update skip locked
    loop
        -- One that this sweep has ended already, since another one of it ended.
        continue when not exists (select 1 from @side@.jobs where id = s.id and place < 4);
        seen := seen + 1;
        overdue := overdue + 1;
        perform @side@.end_job(s.id, 3::smallint, now_us, null,
            '{"kind":"deadline_exceeded","message":"the deadline was over before the work began","error":null}', null);
        ended := ended || s.id || @side@.follow(array[s.id], false, now_us);
    end loop;
    perform @side@.open_windows(now_us);
    update @side@.jobs set place = 0 where id in (
        select id from @side@.jobs where place = 1 and wake <= now_us order by wake limit part for update skip locked);
    -- What another worker of the engine did with rows of ours.
    select * into seat from @side@.sweeps for update;
    looked := 0;
    for one in select j.id, j.queue, j.kind, j.score, j.engine_id, n.id is null
            or (n.locked_at is null and n.attempts >= n.max_attempts) as touched
        from (select * from @side@.jobs where place = 0
            and (queue, kind, score, engine_id) > (seat.queue, seat.kind, seat.score, seat.engine_id)
            order by queue, kind, score, engine_id limit 2000) j
        left join @engine@._private_jobs n on n.id = j.engine_id order by j.queue, j.kind, j.score, j.engine_id
    loop
        looked := looked + 1;
        if looked = 2000 then
            update @side@.sweeps set queue = one.queue, kind = one.kind, score = one.score, engine_id = one.engine_id;
        end if;
        continue when not one.touched;
        select * into s from @side@.jobs where id = one.id and place = 0 for update skip locked;
        continue when not found;
        select * into e from @engine@._private_jobs where id = s.engine_id;
        if not found then
            perform @side@.end_job(s.id, 2::smallint, now_us, null, null, null);
            ended := ended || s.id || @side@.follow(array[s.id], true, now_us);
        elsif e.locked_at is null and e.attempts >= e.max_attempts then
            perform @side@.end_job(s.id, 3::smallint, now_us, null, json_build_object('kind', 'error', 'message',
                coalesce(e.last_error, 'another worker of the engine gave it up'), 'error', null)::text, null);
            ended := ended || s.id || @side@.follow(array[s.id], false, now_us);
        end if;
    end loop;
    if looked < 2000 then
        update @side@.sweeps set queue = '', kind = '', score = 0, engine_id = 0;
    end if;

    with old as (
        select id, unique_key from @side@.jobs where place = 5 and expires <= now_us order by expires limit part for update skip locked
    ), keyless as (
        delete from @side@.uniques u using old where u.key = old.unique_key and u.job = old.id
    ), gone as (
        delete from @side@.jobs j using old where j.id = old.id returning 1
    )
    select count(*) into pruned from gone;
    delete from @side@.windows where ends <= now_us;
    delete from @side@.workers where until <= now_us;
    delete from @side@.listeners where until <= now_us;
    perform @side@.tell_ids(me, 'e', ended);
    if rescued > 0 or cardinality(ended) > 0 then perform @side@.tell(me, 'r'); end if;
    return query select 1::smallint, null::uuid, rescued, crashed, overdue, pruned, seen >= part or pruned >= part;
    return query select 2::smallint, x, 0, 0, 0, 0, false from unnest(ended) x;
end $$;
