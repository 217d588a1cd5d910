-- What Graphile Worker's rows do not keep. Times are microseconds since 1970 by the server's clock.
--
-- Rows are locked in one order, ours before the engine's, and the gate (an advisory lock) before either where limits of
-- keys are concerned; what still locks crosswise is undone by the server and repeated by the store.
create table @side@.meta (version int not null);

-- place: 0 ready, 1 until its time, 2 until another of its key ends, 3 until those that it needs end, 4 running, 5 ended
create table @side@.jobs (
    id uuid primary key,
    engine_id bigint,
    engine_queue int,
    kind text not null,
    queue text not null,
    state smallint not null default 0,
    place smallint not null default 0,
    level smallint not null,
    score bigint not null,
    due bigint not null,
    wake bigint not null,
    attempts int not null default 0,
    max_attempts bigint not null,
    fence bigint not null default 0,
    lease bigint,
    locked_by text,
    worker text,
    cancel text,
    waiting_for int not null default 0,
    dependents int not null default 0,
    run_anyway boolean not null default false,
    deadline bigint,
    unique_key text,
    unique_within bigint,
    limit_key text,
    paced boolean not null default false,
    limit_most bigint,
    rate_starts bigint,
    rate_per bigint,
    batch uuid,
    keep_ended bigint not null,
    keep_failed bigint not null,
    enqueued bigint not null,
    started bigint,
    ended bigint,
    expires bigint,
    spec text,
    raw bytea,
    payload json,
    progress bytea,
    progress_attempt int,
    progress_number bigint,
    output bytea,
    failure text
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000);

-- Each index holds the rows of its place alone, so that what a claim costs does not depend on how many jobs have ended.
create index jobs_ready on @side@.jobs (queue, kind, score, engine_id) where place = 0;
create index jobs_scheduled on @side@.jobs (wake) where place = 1;
create index jobs_held on @side@.jobs (limit_key, paced, queue, kind, score, engine_id) where place = 2;
create index jobs_leases on @side@.jobs (lease) where place = 4;
create index jobs_running_key on @side@.jobs (limit_key) where place = 4 and limit_key is not null;
create index jobs_expires on @side@.jobs (expires) include (state) where place = 5;
create index jobs_deadlines on @side@.jobs (deadline) where place < 4 and deadline is not null;
create index jobs_batch on @side@.jobs (batch) where batch is not null;

create table @side@.uniques (key text primary key, job uuid);
create table @side@.needs (needed uuid, dependent uuid, primary key (needed, dependent));
create table @side@.windows (name text primary key, ends bigint not null, starts bigint not null);
-- When the windows end for which jobs of a key wait.
create table @side@.opens (key text primary key, at bigint not null);
create index opens_at on @side@.opens (at);
create table @side@.paused (queue text primary key);
create table @side@.workers (id text primary key, info text not null, seen bigint not null, until bigint not null);
create table @side@.listeners (id text primary key, until bigint not null);
-- How far a sweep has compared what is ready with the engine's rows.
create table @side@.sweeps (queue text not null, kind text not null, score bigint not null, engine_id bigint not null);
insert into @side@.sweeps values ('', '', 0, 0);

-- What others put into the engine has no flag of ours; the index holds what is still to be taken over.
create index if not exists @index@ on @engine@._private_jobs (task_id, id)
    where is_available and not coalesce(flags ? 'bedplate', false);

create function @side@.now_us() returns bigint language sql stable as
$$ select (extract(epoch from now()) * 1000000)::bigint $$;

create function @side@.at(us bigint) returns timestamptz language sql immutable as
$$ select to_timestamp(least(us, 253370764800000000) / 1000000.0) $$;

-- The engine's priority: the smaller goes first, 0 is the usual.
create function @side@.engine_priority(level smallint) returns smallint language sql immutable as
$$ select ((1 - level) * 10)::smallint $$;

create function @side@.score(due bigint, level smallint, age bigint) returns bigint language sql immutable as
$$ select case when age = 0 then due - (level::bigint << 58) else due - level * age end $$;

-- Tells the other processes, if there are any.
create function @side@.tell(me text, what text) returns void language plpgsql as $$
begin
    if exists (select 1 from @side@.listeners where id <> me and until > @side@.now_us()) then
        perform pg_notify('@side@', me || ':' || what);
    end if;
end $$;

create function @side@.tell_ids(me text, what text, ids uuid[]) returns void language plpgsql as $$
begin
    if cardinality(ids) = 0 then return; end if;
    -- A message has room for 8,000 bytes.
    if cardinality(ids) > 200 then
        perform @side@.tell(me, 'x');
    else
        perform @side@.tell(me, what || ':' || array_to_string(ids, ','));
    end if;
end $$;

-- Whoever changes what is shared by the jobs of a key, or gives jobs out within limits.
create function @side@.gate() returns void language sql as
$$ select pg_advisory_xact_lock(hashtext('@side@'), 1) $$;
