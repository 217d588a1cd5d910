create function @side@.count_start(title text, per bigint, now_us bigint) returns void language sql as $$
    insert into @side@.windows as w (name, ends, starts) values (title, now_us + per, 1)
    on conflict (name) do update set starts = case when w.ends > now_us then w.starts + 1 else 1 end,
        ends = case when w.ends > now_us then w.ends else excluded.ends end
$$;

-- Gives out what a claim has found, row by row where they lie. The planner knows nothing of tables that fill and empty all
-- the time: here it has no other way than the one that is meant.
create function @side@.take(rows tid[], engine_rows tid[], holder text, my_fence bigint, my_lock text, want int, term bigint,
    now_us bigint)
returns table (what smallint, o_id uuid, o_fence bigint, o_attempt int, o_waited bigint, o_kind text, o_level smallint,
    o_max bigint, o_spec text, o_payload text, o_raw bytea)
language plpgsql set enable_seqscan = off set enable_indexscan = off set enable_bitmapscan = off set enable_nestloop = off
    set enable_hashjoin = on
    set jit = off set plan_cache_mode = force_generic_plan as $$
begin
    return query with picked as materialized (
        select j.engine_id from @side@.jobs j join @engine@._private_jobs n on n.id = j.engine_id
        where j.ctid = any(rows) and j.place = 0 and n.ctid = any(engine_rows) and n.is_available
        order by j.score, j.engine_id limit want for update of j, n skip locked
    ), locked as (
        update @engine@._private_jobs n set attempts = least(n.attempts + 1, n.max_attempts), locked_by = my_lock, locked_at = now()
        from picked p where n.ctid = any(engine_rows) and n.id = p.engine_id and n.is_available returning n.id as number, n.payload
    ), taken as (
        update @side@.jobs j set state = 1, place = 4, attempts = j.attempts + 1, fence = my_fence,
            lease = now_us + term, locked_by = my_lock, worker = holder, started = now_us, progress = null,
            progress_attempt = null, progress_number = null
        from locked l where j.ctid = any(rows) and j.engine_id = l.number
        returning j.id, j.attempts, j.due, j.kind, j.level, j.max_attempts, j.spec, l.payload, j.raw, j.score, j.engine_id
    )
    select 1::smallint, t.id, my_fence, t.attempts, now_us - t.due, t.kind, t.level, t.max_attempts, t.spec,
        t.payload::text, t.raw from taken t order by t.score, t.engine_id;
end $$;

-- Gives jobs out. what: 1 a claim, 2 one that ended since its deadline was over, 3 when to look again.
create function @side@.claim(holder text, queues text[], mosts bigint[], starts bigint[], pers bigint[], kinds text[],
    want int, term bigint, age bigint, me text)
returns table (what smallint, o_id uuid, o_fence bigint, o_attempt int, o_waited bigint, o_kind text, o_level smallint,
    o_max bigint, o_spec text, o_payload text, o_raw bytea)
-- The planner knows nothing of tables that fill and empty all the time.
language plpgsql set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off
    set plan_cache_mode = force_generic_plan as $$
declare
    now_us bigint := @side@.now_us();
    tasks int[]; lefts bigint[]; candidates uuid[]; rows tid[]; engine_rows tid[]; candidate uuid; plain boolean; gated boolean := false;
    limited boolean := false; given int := 0; missed boolean := false; rounds int := 0; my_fence bigint; my_lock text;
    q int; s @side@.jobs; e @engine@._private_jobs; window_ends bigint; got int; ended uuid[] := '{}'; moved int; running bigint;
begin
    -- A claim that a crash of the server undoes is one that was not given out: it need not wait for the disk.
    perform set_config('synchronous_commit', 'off', true);
    if exists (select 1 from @side@.opens where at <= now_us) then
        perform @side@.gate();
        gated := true;
        perform @side@.open_windows(now_us);
    end if;
    if 'default' = any(queues) then
        select array_agg(t.id) into tasks from @engine@._private_tasks t where t.identifier = any(kinds);
        -- Kind by kind, so that the index answers alone: else a plan made for an empty table looks at every row.
        if exists (select 1 from unnest(tasks) u(task) cross join lateral (
            select from @engine@._private_jobs j where j.task_id = u.task and j.is_available
                and not coalesce(j.flags ? 'bedplate', false) offset 0) x) then
            perform @side@.adopt(tasks, age, now_us);
        end if;
    end if;
    if exists (select 1 from @side@.jobs where place = 1 and wake <= now_us) then
        update @side@.jobs set place = 0 where id in (
            select id from @side@.jobs where place = 1 and wake <= now_us order by wake limit 2000 for update skip locked);
    end if;

    lefts := array_fill(want::bigint, array[cardinality(queues)]);
    for q in 1..cardinality(queues) loop
        if mosts[q] is not null or starts[q] is not null then limited := true; end if;
    end loop;
    if limited then
        perform @side@.gate();
        gated := true;
    end if;
    for q in 1..cardinality(queues) loop
        if exists (select 1 from @side@.paused where queue = queues[q]) then lefts[q] := 0; end if;
        if mosts[q] is not null then
            lefts[q] := least(lefts[q], mosts[q] - (select count(*) from @side@.jobs where place = 4 and queue = queues[q]));
        end if;
        if starts[q] is not null then
            lefts[q] := least(lefts[q], starts[q] - coalesce((select w.starts from @side@.windows w
                where name = 'q:' || queues[q] and ends > now_us), 0));
        end if;
    end loop;

    -- By the clock, so that a server that forgot its latest claims, after a crash or a failover, gives none of their numbers
    -- out again; two claims may have the same one, never for the same job.
    my_fence := (extract(epoch from clock_timestamp()) * 1000000)::bigint;
    my_lock := left('bedplate:' || holder, 200) || ':' || my_fence;
    while given < want and rounds < 20 loop
        rounds := rounds + 1;
        select array_agg(c.id), array_agg(c.at), array_agg(c.engine_at), coalesce(bool_and(c.simple), true) and not limited
        into candidates, rows, engine_rows, plain
        from (
            select x.* from unnest(queues, lefts) u(queue, room) cross join unnest(kinds) k(kind)
            cross join lateral (
                select j.id, j.ctid as at, j.score, j.engine_id, n.ctid as engine_at,
                    j.limit_key is null and j.engine_queue is null and (j.deadline is null or j.deadline > now_us) as simple
                from @side@.jobs j cross join lateral (
                    select o.ctid from @engine@._private_jobs o where o.id = j.engine_id and o.is_available and o.run_at <= now() offset 0
                ) n where j.place = 0 and j.queue = u.queue and j.kind = k.kind
                order by j.score, j.engine_id limit want - given + 16
            ) x where u.room > 0 order by x.score, x.engine_id limit want - given + 16
        ) c;
        exit when candidates is null;

        if plain then
            return query select * from @side@.take(rows, engine_rows, holder, my_fence, my_lock, want - given, term, now_us);
            get diagnostics got = row_count;
            given := given + got;
            missed := got = 0;
            exit when missed or (got = cardinality(candidates) and got < want + 16 - given);
        else
            moved := 0;
            foreach candidate in array candidates loop
                exit when given >= want;
                select * into s from @side@.jobs where id = candidate and place = 0 for update skip locked;
                continue when not found;
                select * into e from @engine@._private_jobs where id = s.engine_id and is_available for update skip locked;
                continue when not found;
                q := array_position(queues, s.queue);
                continue when lefts[q] <= 0;
                moved := moved + 1;
                if s.deadline <= now_us then
                    perform @side@.end_job(s.id, 3::smallint, now_us, null,
                        '{"kind":"deadline_exceeded","message":"the deadline was over before the work began","error":null}', null);
                    ended := ended || s.id || @side@.follow(array[s.id], false, now_us);
                    continue;
                end if;
                if s.limit_key is not null then
                    if not gated then
                        perform @side@.gate();
                        gated := true;
                    end if;
                    running := 0;
                    if s.limit_most is not null then
                        select count(*) into running from @side@.jobs where place = 4 and limit_key = s.limit_key;
                    end if;
                    if running >= s.limit_most then
                        update @side@.jobs set place = 2, paced = s.rate_starts is not null where id = s.id;
                        continue;
                    end if;
                    if s.rate_starts is not null then
                        select w.ends into window_ends from @side@.windows w
                            where name = 'k:' || s.limit_key and ends > now_us and w.starts >= s.rate_starts;
                        if found then
                            update @side@.jobs set place = 2, paced = true where id = s.id;
                            insert into @side@.opens values (s.limit_key, window_ends)
                                on conflict (key) do update set at = excluded.at;
                            continue;
                        end if;
                    end if;
                end if;
                if s.engine_queue is not null then
                    update @engine@._private_job_queues set locked_by = my_lock, locked_at = now()
                        where id = s.engine_queue and is_available;
                    -- Its queue of the engine runs another one: it is looked at again soon.
                    if not found then
                        update @side@.jobs set place = 1, wake = now_us + 250000 where id = s.id;
                        continue;
                    end if;
                end if;
                if s.limit_key is not null and s.rate_starts is not null then
                    perform @side@.count_start('k:' || s.limit_key, s.rate_per, now_us);
                end if;
                -- One after another until the window or all places are full, not all that wait at once. What has the last
                -- place lets the next one try at its end.
                if s.limit_key is not null and (s.limit_most is null or running + 1 < s.limit_most) then
                    perform @side@.free_keys(array[s.limit_key]);
                end if;
                if starts[q] is not null then
                    perform @side@.count_start('q:' || s.queue, pers[q], now_us);
                end if;
                lefts[q] := lefts[q] - 1;
                given := given + 1;
                update @engine@._private_jobs set attempts = least(attempts + 1, max_attempts), locked_by = my_lock, locked_at = now() where id = e.id;
                update @side@.jobs set state = 1, place = 4, attempts = attempts + 1, fence = my_fence,
                    lease = now_us + term, locked_by = my_lock, worker = holder, started = now_us, progress = null,
                    progress_attempt = null, progress_number = null where id = s.id;
                return query select 1::smallint, s.id, my_fence, s.attempts + 1, now_us - s.due, s.kind, s.level,
                    s.max_attempts, s.spec, e.payload::text, s.raw;
            end loop;
            missed := moved = 0 and given = 0;
            exit when moved = 0;
        end if;
    end loop;

    perform @side@.tell_ids(me, 'e', ended);
    return query select 2::smallint, x, 0::bigint, 0, 0::bigint, '', 0::smallint, 0::bigint, null::text, null::text, null::bytea
        from unnest(ended) x;
    if given = 0 then
        return query select 3::smallint, null::uuid, least((select min(wake) from @side@.jobs where place = 1),
            (select min(at) from @side@.opens)) - now_us,
            case when missed or rounds >= 20 then 1 else 0 end, 0::bigint, '', 0::smallint, 0::bigint, null::text, null::text, null::bytea;
    end if;
end $$;
