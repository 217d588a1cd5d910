-- Takes jobs in, all or none; one that is known already by its id or its unique key changes nothing.
create function @side@.enqueue(
    ids uuid[], kinds text[], queues text[], levels smallint[], delays bigint[], ats bigint[], most_attempts bigint[],
    deadlines bigint[], unique_keys text[], unique_withins bigint[], unique_scopes smallint[], limit_keys text[],
    limit_mosts bigint[], rates_starts bigint[], rates_per bigint[], batches uuid[], anyways boolean[],
    keeps_ended bigint[], keeps_failed bigint[], specs text[], payloads text[], raws bytea[],
    needing int[], needed_ids uuid[], age bigint, plain boolean
) returns table (o_ord int, o_new boolean, o_id uuid) language plpgsql set enable_seqscan = off set jit = off
    set plan_cache_mode = force_generic_plan as $$
declare
    now_us bigint := @side@.now_us();
    n int := cardinality(ids);
    taken boolean[] := array_fill(true, array[cardinality(ids)]);
    answers uuid[] := ids;
    accepted uuid[] := '{}';
    needs int := cardinality(needing); from_need int := 1; known int[] := '{}';
    i int; earlier int; need int; other uuid; first uuid; was @side@.jobs; waits int; broken boolean; inserted uuid[];
begin
    if n = 0 then return; end if;
    if plain then
        -- Looked up one by one, whatever the planner thinks of the table.
        select array_agg(f.ord is not null and (select true from @side@.jobs j where j.id = u.id) is null order by u.ord)
        into taken
        from unnest(ids) with ordinality as u(id, ord)
        left join (select min(x.ord) as ord from unnest(ids) with ordinality as x(id, ord) group by x.id) f on f.ord = u.ord;
    else
        for i in 1..n loop
            -- What is needed stands in the order of those that need it.
            while from_need <= needs and needing[from_need] < i loop from_need := from_need + 1; end loop;
            if ids[i] = any(accepted) or exists (select 1 from @side@.jobs where id = ids[i]) then
                taken[i] := false;
                known := known || i;
                continue;
            end if;
            if unique_keys[i] is not null then
                insert into @side@.uniques (key) values (unique_keys[i]) on conflict do nothing;
                select job into first from @side@.uniques where key = unique_keys[i] for update;
                if first = any(accepted) then
                    taken[i] := false;
                elsif first is not null then
                    select * into was from @side@.jobs where id = first;
                    taken[i] := was.id is null
                        or (unique_withins[i] is not null and now_us - was.enqueued >= unique_withins[i])
                        or not case unique_scopes[i] when 0 then was.state = 0 when 1 then was.state < 2
                            when 2 then was.state < 3 else true end;
                end if;
                if not taken[i] then
                    answers[i] := first;
                    known := known || i;
                    continue;
                end if;
                update @side@.uniques set job = ids[i] where key = unique_keys[i];
            end if;
            need := from_need;
            while need <= needs and needing[need] = i loop
                -- What is a duplicate here stands for the job that it is a duplicate of.
                foreach earlier in array known loop
                    if ids[earlier] = needed_ids[need] then
                        needed_ids[need] := answers[earlier];
                    end if;
                end loop;
                other := needed_ids[need];
                if not other = any(accepted) and not exists (select 1 from @side@.jobs where id = other) then
                    raise exception '%', other using errcode = 'BT001';
                end if;
                need := need + 1;
            end loop;
            accepted := accepted || ids[i];
        end loop;
    end if;

    if true = any(taken) then
        with input as (
            select *, case when t.at_us is not null then greatest(t.at_us, now_us) else now_us + coalesce(t.delay, 0) end as due_us
            from unnest(ids, kinds, queues, levels, delays, ats, most_attempts, deadlines, unique_keys, unique_withins,
                limit_keys, limit_mosts, rates_starts, rates_per, batches, anyways, keeps_ended, keeps_failed, specs,
                payloads, raws, taken)
            with ordinality as t(id, kind, queue, level, delay, at_us, max_attempts, deadline, unique_key, unique_within,
                limit_key, limit_most, rate_starts, rate_per, batch, run_anyway, keep_ended, keep_failed, spec,
                payload, raw, is_taken, ord)
            where t.is_taken
        ), rows as (
            select e.id as engine_id,
                (select k::uuid from jsonb_object_keys(e.flags) k where k <> 'bedplate') as id
            from @engine@.add_jobs((
                select array_agg(row(kind, coalesce(payload, 'null')::json, null, @side@.at(due_us),
                    least(max_attempts, 32767)::smallint, null, @side@.engine_priority(level),
                    array['bedplate', id::text])::@engine@.job_spec order by ord) from input)) e
        )
        insert into @side@.jobs (id, engine_id, kind, queue, place, level, score, due, wake, max_attempts, deadline,
            unique_key, unique_within, limit_key, limit_most, rate_starts, rate_per, batch, run_anyway, keep_ended,
            keep_failed, enqueued, spec, raw)
        select i.id, r.engine_id, i.kind, i.queue, case when i.due_us > now_us then 1 else 0 end, i.level,
            @side@.score(i.due_us, i.level, age) + i.ord, i.due_us, i.due_us, i.max_attempts, i.deadline,
            i.unique_key, i.unique_within, i.limit_key, i.limit_most, i.rate_starts, i.rate_per, i.batch, i.run_anyway,
            i.keep_ended, i.keep_failed, now_us, i.spec, i.raw
        from input i join rows r on r.id = i.id order by i.ord;
    end if;

    need := 1;
    while need <= needs loop
        i := needing[need];
        from_need := need;
        while need <= needs and needing[need] = i loop need := need + 1; end loop;
        continue when not taken[i];
        waits := 0;
        broken := false;
        -- Locked, so that none of them ends unheard.
        for was in select j.* from @side@.jobs j where j.id = any(needed_ids[from_need:need - 1]) order by j.id for update
        loop
            if was.state < 2 then
                waits := waits + 1;
                insert into @side@.needs values (was.id, ids[i]);
                update @side@.jobs set dependents = dependents + 1 where id = was.id;
            elsif was.state > 2 then
                broken := true;
            end if;
        end loop;
        update @side@.jobs set waiting_for = waits, place = case when waits > 0 then 3 else place end where id = ids[i];
        if waits > 0 then
            -- Nobody takes it from the engine before its time.
            update @engine@._private_jobs e set run_at = '9999-01-01' from @side@.jobs s
                where s.id = ids[i] and e.id = s.engine_id;
        end if;
        if broken and not anyways[i] then
            perform @side@.cancel_waiting(array[ids[i]], 'a job that it depends on did not complete', now_us);
        end if;
    end loop;

    return query select k, taken[k], answers[k] from generate_series(1, n) k;
end $$;

-- Takes in jobs that begin as soon as somebody is free and share nothing with others, which most are; returns by their
-- numbers those that were known. What the engine's add_jobs does for such jobs is done here in the same statement.
create function @side@.enqueue_plain(
    ids uuid[], kinds text[], queues text[], levels smallint[], most_attempts bigint[], keeps_ended bigint[],
    keeps_failed bigint[], specs text[], payloads text[], raws bytea[], age bigint
) returns setof int language plpgsql set enable_seqscan = off set enable_nestloop = off set jit = off
    set plan_cache_mode = force_generic_plan as $$
declare
    now_us bigint := @side@.now_us();
    numbers regclass := pg_get_serial_sequence('@engine@._private_jobs', 'id');
begin
    insert into @engine@._private_tasks (identifier)
        select u.k from (select distinct k from unnest(kinds) k) u
        where (select true from @engine@._private_tasks t where t.identifier = u.k) is null order by 1
        on conflict do nothing;
    perform pg_notify('jobs:insert', '{"r":' || random() || ',"count":' || cardinality(ids) || '}');
    return query with input as materialized (
        select t.*, nextval(numbers) as engine_id
        from unnest(ids, kinds, queues, levels, most_attempts, keeps_ended, keeps_failed, specs, payloads, raws)
        with ordinality as t(id, kind, queue, level, max_attempts, keep_ended, keep_failed, spec, payload, raw, ord)
    ), mine as (
        insert into @side@.jobs (id, engine_id, kind, queue, level, score, due, wake, max_attempts, keep_ended,
            keep_failed, enqueued, spec, raw)
        select i.id, i.engine_id, i.kind, i.queue, i.level, @side@.score(now_us, i.level, age) + i.ord, now_us, now_us,
            i.max_attempts, i.keep_ended, i.keep_failed, now_us, i.spec, i.raw
        from input i order by i.ord
        on conflict (id) do nothing returning jobs.engine_id
    ), theirs as (
        insert into @engine@._private_jobs (id, task_id, payload, run_at, max_attempts, priority, flags)
        overriding system value
        select i.engine_id, t.id, coalesce(i.payload, 'null')::json, now(), least(i.max_attempts, 32767)::smallint,
            @side@.engine_priority(i.level), '{"bedplate": true}'
        from mine m join input i on i.engine_id = m.engine_id
        cross join lateral (select k.id from @engine@._private_tasks k where k.identifier = i.kind offset 0) t
    )
    select i.ord::int from input i where not exists (select 1 from mine m where m.engine_id = i.engine_id);
end $$;

-- For producers without bedplate: `select bedplate_tasks.submit('resize.v1', '{"image":1}')`.
create function @side@.submit(kind text, payload json, queue text default 'default', delay interval default '0',
    id uuid default gen_random_uuid())
returns uuid language sql as $$
    select o_id from @side@.enqueue(array[id], array[kind], array[queue], array[1::smallint],
        array[(extract(epoch from delay) * 1000000)::bigint], array[null::bigint], array[25::bigint], array[null::bigint],
        array[null::text], array[null::bigint], array[null::smallint], array[null::text], array[null::bigint],
        array[null::bigint], array[null::bigint], array[null::uuid], array[false], array[86400000000], array[604800000000],
        array[null::text], array[payload::text], array[null::bytea], '{}', '{}', 30000000, true)
$$;

-- Takes over what others put into the engine.
create function @side@.adopt(tasks int[], age bigint, now_us bigint) returns void language plpgsql as $$
begin
    with foreigners as (
        select e.*, ('67726170-6869-8c65-8' || substr(lpad(to_hex(e.id), 15, '0'), 1, 3) || '-'
            || substr(lpad(to_hex(e.id), 15, '0'), 4))::uuid as task
        from @engine@._private_jobs e
        where e.is_available and not coalesce(e.flags ? 'bedplate', false) and e.task_id = any(tasks)
        order by e.task_id, e.id limit 1000 for update skip locked
    ), flagged as (
        update @engine@._private_jobs e set flags = coalesce(e.flags, '{}') || '{"bedplate": true}' from foreigners f where e.id = f.id
    ), told as (
        select f.*, t.identifier, (extract(epoch from f.run_at) * 1000000)::bigint as due_us,
            (case when f.priority <= -20 then 3 when f.priority < 0 then 2 when f.priority = 0 then 1 else 0 end)::smallint as lvl
        from foreigners f join @engine@._private_tasks t on t.id = f.task_id
    )
    insert into @side@.jobs as s (id, engine_id, engine_queue, kind, queue, place, level, score, due, wake, attempts,
        max_attempts, keep_ended, keep_failed, enqueued)
    select task, id, job_queue_id, identifier, 'default', case when due_us > now_us then 1 else 0 end, lvl,
        @side@.score(due_us, lvl, age), due_us, due_us, attempts, max_attempts, 86400000000, 604800000000,
        (extract(epoch from created_at) * 1000000)::bigint
    from told
    -- A job that its producer replaced under the engine's own key.
    on conflict (id) do update set place = excluded.place, level = excluded.level, score = excluded.score,
        due = excluded.due, wake = excluded.wake, attempts = excluded.attempts, max_attempts = excluded.max_attempts,
        engine_queue = excluded.engine_queue
        where s.place < 2;
end $$;
