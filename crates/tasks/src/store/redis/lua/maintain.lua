-- ARGV: how many of each at most. Answer: rescued, crashed, overdue, pruned, and 1 if there is more to do.
local most = tonumber(ARGV[1])
local taken, rescued = rescue(most), 0
open_windows(most)
for _, q in ipairs(call('SMEMBERS', S .. 'queues')) do
  adopt_all(q, most)
  promote(q, most)
  -- A lane with more than BullMQ's set has lost some to workers of BullMQ's.
  local kinds = call('SMEMBERS', S .. 'lanes:' .. q)
  local ours = 0
  for _, kind in ipairs(kinds) do
    local size = call('ZCARD', lane(q, kind))
    ours = ours + size
    if size == 0 then
      call('SREM', S .. 'lanes:' .. q, kind)
      laned[lane(q, kind)] = nil
    end
  end
  if ours > call('ZCARD', key(q, 'prioritized')) then
    for _, kind in ipairs(kinds) do
      for _, jid in ipairs(call('ZRANGE', lane(q, kind), 0, most - 1)) do
        if not call('ZSCORE', key(q, 'prioritized'), jid) then
          call('ZREM', lane(q, kind), jid)
          local j = load(q, jid)
          if j then call('SADD', S .. 'out', j.tid) end
        end
      end
    end
  end
  -- What such a worker held when it went away has no lock any more.
  for _, jid in ipairs(call('LRANGE', key(q, 'active'), 0, most - 1)) do
    local j = load(q, jid)
    if not j then
      call('LREM', key(q, 'active'), -1, jid)
    elseif not call('ZSCORE', S .. 'leases', j.tid) and call('EXISTS', j.key .. ':lock') == 0 then
      -- Twice in a row: between taking a job and locking it there is a moment in some versions of BullMQ.
      if call('SADD', S .. 'lost', j.tid) == 0 then
        call('SREM', S .. 'lost', j.tid)
        call('LREM', key(q, 'active'), -1, jid)
        if j.st == 'p' then
          rescued = rescued + 1
          make_ready(j, 'active')
        else
          adopt(q, jid)
        end
      end
    end
  end
  -- Whatever comes into a lane or is delayed names its queue anew, and so does a worker that waits at it.
  if call('EXISTS', S .. 'lanes:' .. q, key(q, 'prioritized'), key(q, 'wait'), key(q, 'delayed'),
    key(q, 'waiting-children'), key(q, 'active')) == 0 and not is_paused(q) then
    call('SREM', S .. 'queues', q)
  end
end
-- Jobs that workers of BullMQ's took: some of those known to be out, and some of all, in turn.
for _, tid in ipairs(call('SRANDMEMBER', S .. 'out', most)) do
  local j = sync(tid)
  if not j then forget(tid) end
  if not j or j.st ~= 'n' then call('SREM', S .. 'out', tid) end
end
local from = call('GET', S .. 'cursor') or ''
local some = call('ZRANGEBYLEX', S .. 'live', from == '' and '-' or '(' .. from, '+', 'LIMIT', 0, 200)
for _, tid in ipairs(some) do
  if not sync(tid) then forget(tid) end
end
call('SET', S .. 'cursor', #some == 200 and some[200] or '')
local late = 0
for _, tid in ipairs(call('ZRANGEBYSCORE', S .. 'deadlines', '-inf', num(now), 'LIMIT', 0, most)) do
  local j = sync(tid)
  call('ZREM', S .. 'deadlines', tid)
  if j and j.st == 'p' then
    overdue(j)
    late = late + 1
  end
end
local old = call('ZRANGEBYSCORE', S .. 'ends', '-inf', num(now), 'LIMIT', 0, most)
for _, tid in ipairs(old) do forget(tid) end
for _, worker in ipairs(call('ZRANGEBYSCORE', S .. 'seen', '-inf', num(now), 'LIMIT', 0, most)) do
  call('ZREM', S .. 'seen', worker)
  call('HDEL', S .. 'workers', worker)
end
tell()
local swept = call('HMGET', S .. 'swept', 'again', 'failed')
call('DEL', S .. 'swept')
return {rescued + (tonumber(swept[1]) or 0), tonumber(swept[2]) or 0, late, #old,
  (#old == most or taken >= most) and 1 or 0}
