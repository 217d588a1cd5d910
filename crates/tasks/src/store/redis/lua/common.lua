-- Shared by all scripts. The keys and formats of queues and jobs are BullMQ's; what it has no place for is in fields of
-- the job's hash whose names begin with "b:", and in keys of our own under S.
--
-- tid: our id of a job. jid: BullMQ's id of it within its queue; the same text for jobs of our own.
local P, S = KEYS[1], KEYS[2]
local call = redis.call
local TIME = call('TIME')
local now = TIME[1] * 1000 + math.floor(TIME[2] / 1000)
local now_us = TIME[1] * 1000000 + TIME[2]
-- BullMQ scores prioritized jobs by priority * 2^32 + counter; ours are microseconds of the calendar, always above.
local FOREIGN = 1.5e15
local AGES = 3.2e12
local ended, woken, cancelling, trim = {}, {}, {}, {}
local clock

local function num(x) return string.format('%.0f', x) end

-- Strictly rising microseconds, so that jobs of one call keep their order; taking one in lasts longer than one.
local function tick()
  clock = clock and clock + 1 or now_us
  return clock
end

local function key(q, what) return P .. ':' .. q .. ':' .. what end

-- What is cheaper said once for all jobs of a call, by key: members to add with their scores, members to remove.
local adds, removes = {}, {}
local function add(zset, score, member)
  local list = adds[zset]
  if not list then
    list = {}
    adds[zset] = list
  end
  list[#list + 1] = score
  list[#list + 1] = member
end
local function remove(zset, member)
  local list = removes[zset]
  if not list then
    list = {}
    removes[zset] = list
  end
  list[#list + 1] = member
end
local function flush()
  for zset, list in pairs(removes) do
    for from = 1, #list, 2000 do call('ZREM', zset, unpack(list, from, math.min(from + 1999, #list))) end
  end
  for zset, list in pairs(adds) do
    for from = 1, #list, 2000 do call('ZADD', zset, unpack(list, from, math.min(from + 1999, #list))) end
  end
  adds, removes = {}, {}
end

local function event(q, ...)
  trim[q] = true
  call('XADD', key(q, 'events'), '*', 'event', ...)
end

local function locate(tid)
  local at = call('HGET', S .. 'at', tid)
  if not at then return nil end
  local cut = string.find(at, ':', 1, true)
  if cut then return string.sub(at, 1, cut - 1), string.sub(at, cut + 1) end
  return at, tid
end

local FIELDS = {'name', 'b:st', 'b:pl', 'b:att', 'b:max', 'b:due', 'b:hs', 'b:f', 'b:un', 'b:can', 'b:id', 'b:x'}
local WITH_DATA = {'name', 'b:st', 'b:pl', 'b:att', 'b:max', 'b:due', 'b:hs', 'b:f', 'b:un', 'b:can', 'b:id', 'b:x',
  'data', 'b:j', 'b:raw'}
-- What few jobs have: b:x says that there is something.
local MORE = {'b:re', 'b:rf', 'b:dl', 'b:uk', 'b:uw', 'b:lk', 'b:lc', 'b:lr', 'b:lp', 'b:of', 'b:wf', 'b:bt', 'b:dep'}

-- What decides about a job, or nil if it is gone or is no job at all.
local function load(q, jid, data)
  local k = key(q, jid)
  local h = redis.pcall('HMGET', k, unpack(data and WITH_DATA or FIELDS))
  if h.err or not h[1] then return nil end
  local j = {q = q, jid = jid, key = k, kind = h[1], st = h[2] or nil, pl = h[3] or 'r', att = tonumber(h[4]) or 0,
    max = tonumber(h[5]) or 1, due = tonumber(h[6]) or now_us, hs = tonumber(h[7]) or 0, f = h[8],
    un = tonumber(h[9]) or 0, can = h[10], tid = h[11] or jid, re = 86400000, rf = 604800000, uw = 0, wf = 0,
    data = h[13], books = h[14], raw = h[15]}
  if h[12] then
    local m = call('HMGET', k, unpack(MORE))
    j.re, j.rf, j.dl, j.uk = tonumber(m[1]) or j.re, tonumber(m[2]) or j.rf, tonumber(m[3]), m[4]
    j.uw, j.lk, j.lc, j.lr, j.lp = tonumber(m[5]) or 0, m[6], tonumber(m[7]), tonumber(m[8]), tonumber(m[9])
    j.of, j.wf, j.bt, j.dep = m[10], tonumber(m[11]) or 0, m[12], m[13]
  end
  return j
end

local function find(tid)
  local q, jid = locate(tid)
  if q then return load(q, jid) end
end

local function lane(q, kind) return S .. 'lane:' .. q .. ':' .. kind end

local paused = {}
local function is_paused(q)
  if paused[q] == nil then paused[q] = call('HEXISTS', key(q, 'meta'), 'paused') == 1 end
  return paused[q]
end

local function mark_delayed(q)
  local head = call('ZRANGE', key(q, 'delayed'), 0, 0, 'WITHSCORES')
  if head[2] then call('ZADD', key(q, 'marker'), num(head[2] / 0x1000), '1') end
end

local marked, laned = {}, {}
local function make_ready(j, prev, fresh)
  local rank, ours = num(j.due - j.hs), lane(j.q, j.kind)
  if fresh then
    -- It was stored with its place, and nobody looks at it before the end of the call.
    add(key(j.q, 'prioritized'), rank, j.jid)
    add(ours, rank, j.jid)
  else
    call('ZADD', key(j.q, 'prioritized'), rank, j.jid)
    call('ZADD', ours, rank, j.jid)
    call('HSET', j.key, 'b:pl', 'r', 'b:due', num(j.due))
    event(j.q, 'waiting', 'jobId', j.jid, 'prev', prev or 'waiting')
  end
  if not laned[ours] then
    laned[ours] = true
    if call('SADD', S .. 'lanes:' .. j.q, j.kind) == 1 then call('SADD', S .. 'queues', j.q) end
  end
  if not marked[j.q] then
    marked[j.q] = true
    if not is_paused(j.q) then call('ZADD', key(j.q, 'marker'), 0, '0') end
  end
  j.pl = 'r'
  woken[j.q] = true
end

-- Lets a job begin at j.due.
local function schedule(j, prev, fresh)
  if j.due <= math.max(now_us, clock or 0) then return make_ready(j, prev, fresh) end
  local due = math.ceil(j.due / 1000)
  call('ZADD', key(j.q, 'delayed'), num(due * 0x1000), j.jid)
  call('HSET', j.key, 'b:pl', 'd', 'b:due', num(j.due), 'delay', num(due - now))
  mark_delayed(j.q)
  call('SADD', S .. 'queues', j.q)
  event(j.q, 'delayed', 'jobId', j.jid, 'delay', num(due))
  j.pl = 'd'
  woken[j.q] = true
end

-- Those that wait for a window have lanes of their own: they are not to stand behind what waits for a place.
local function hold_name(j) return j.q .. '\1' .. j.kind .. (j.lr and '\1r' or '') end

-- One of a key has ended, started, or could: the first of each lane may try, since nobody knows which of them the next
-- worker can take.
local function let_try(lk)
  local lanes, more = call('SMEMBERS', S .. 'held:' .. lk), false
  for _, name in ipairs(lanes) do
    local held = S .. 'held:' .. lk .. '\1' .. name
    local first = call('ZPOPMIN', held)
    local q = string.sub(name, 1, string.find(name, '\1', 1, true) - 1)
    if first[1] then
      call('ZREM', key(q, 'waiting-children'), first[1])
      local j = load(q, first[1])
      if j then make_ready(j, 'waiting-children') end
    end
    if call('EXISTS', held) == 0 then call('SREM', S .. 'held:' .. lk, name) else more = true end
  end
  -- A worker of BullMQ's may take and remove who tries, and tells nobody that the next one could: so it is let try anyway.
  if more then call('ZADD', S .. 'opens', 'NX', num(now + 60000), lk) end
end

-- Of the keys whose window is over: one may try, and each that starts lets the next one try, until the window is full.
local function open_windows(most)
  for _, lk in ipairs(call('ZRANGEBYSCORE', S .. 'opens', '-inf', num(now), 'LIMIT', 0, most)) do
    call('ZREM', S .. 'opens', lk)
    let_try(lk)
  end
end

local function release(lk)
  local runs = call('HINCRBY', S .. 'runs', lk, -1)
  if runs <= 0 then call('HDEL', S .. 'runs', lk) end
  let_try(lk)
end

-- Takes a job out of where it is.
local function unplace(j)
  if j.st == 'r' then
    remove(S .. 'leases', j.tid)
    call('LREM', key(j.q, 'active'), -1, j.jid)
    call('DEL', j.key .. ':lock')
    woken[j.q] = true
    if j.lk then release(j.lk) end
  elseif j.st == 'p' then
    if j.pl == 'r' then
      call('ZREM', key(j.q, 'prioritized'), j.jid)
      call('ZREM', lane(j.q, j.kind), j.jid)
    elseif j.pl == 'd' then
      call('ZREM', key(j.q, 'delayed'), j.jid)
    else
      call('ZREM', key(j.q, 'waiting-children'), j.jid)
      if j.pl == 'h' then call('ZREM', S .. 'held:' .. j.lk .. '\1' .. hold_name(j), j.jid) end
    end
  else
    call('ZREM', key(j.q, j.st == 'c' and 'completed' or 'failed'), j.jid)
    call('ZREM', S .. 'ends', j.tid)
    call('ZREM', S .. 'st:' .. j.st, j.tid)
  end
end

local DEPENDENCY = 'a job that it depends on did not complete'

-- Ends a job that has no place any more, and what cannot begin because of that; why is what BullMQ shows, more are
-- fields of the hash, cause is what those are told that depend on it. A list instead of recursion: chains may be long.
local function finish(first, state, why, more, cause)
  cause = cause or DEPENDENCY
  local todo = {{first, state, why, more}}
  while #todo > 0 do
    local j, state, why, more = unpack(table.remove(todo))
    local set = state == 'c' and 'completed' or 'failed'
    local shown = state == 'c' and 'returnvalue' or 'failedReason'
    call('HSET', j.key, 'b:st', state, 'finishedOn', num(now), 'atm', j.att, shown, why, unpack(more or {}))
    add(key(j.q, set), num(now), j.jid)
    remove(S .. 'live', j.tid)
    add(S .. 'st:' .. state, 0, j.tid)
    if j.dl then call('ZREM', S .. 'deadlines', j.tid) end
    -- As long as its unique key matters, the job is remembered for it.
    local kept = state == 'f' and j.rf or j.re
    local window = j.uw > 0 and (tonumber(call('HGET', j.key, 'timestamp')) or now) + j.uw or 0
    add(S .. 'ends', num(math.max(now + kept, window)), j.tid)
    event(j.q, set, 'jobId', j.jid, shown, why, 'prev', 'active')
    ended[#ended + 1] = j.tid
    -- One that was to begin next lets the next one of its key try.
    if j.lk and j.st == 'p' and (j.pl == 'r' or j.pl == 'd') then let_try(j.lk) end
    j.st = state
    local dependents = {}
    if j.dep then
      dependents = call('SMEMBERS', S .. 'dep:' .. j.tid)
      call('DEL', S .. 'dep:' .. j.tid)
      call('HDEL', j.key, 'b:dep')
    end
    for _, tid in ipairs(dependents) do
      local d = find(tid)
      -- One that was replayed meanwhile waits for nobody any more.
      if d and d.st == 'p' and d.pl == 'w' then
        if state ~= 'c' and d.of ~= '1' then
          unplace(d)
          d.st = 'x'
          todo[#todo + 1] = {d, 'x', cause, {'b:can', cause}}
        else
          if d.wf > 0 and call('HINCRBY', d.key, 'b:wf', -1) == 0 then
            call('ZREM', key(d.q, 'waiting-children'), d.jid)
            if d.due <= now_us then d.due = tick() end
            schedule(d, 'waiting-children')
          end
        end
      end
    end
  end
end

-- Puts a job that ran back among those that wait.
local function again(j, due, more)
  call('HSET', j.key, 'b:st', 'p', 'b:att', j.att, 'atm', j.att, unpack(more or {}))
  if j.dl then call('ZADD', S .. 'deadlines', num(j.dl), j.tid) end
  j.st, j.due = 'p', due
  schedule(j, 'active')
end

local function said(kind, message)
  return '{"kind":"' .. kind .. '","message":"' .. message .. '","error":null}'
end

local CRASHED = 'the worker gave no sign of life within the lease'
local OVERDUE = 'the deadline was over before the work began'

local function crash(j)
  unplace(j)
  if j.can then
    finish(j, 'x', j.can)
    return 'x'
  elseif j.att >= j.max then
    finish(j, 'f', CRASHED, {'b:fail', said('crashed', CRASHED)})
    return 'f'
  end
  -- It keeps its place: it was due before all that came while it lay with the dead.
  again(j, j.due, {'b:fail', said('crashed', CRASHED)})
  return 'p'
end

-- Takes back leases that are over, and notes for the sweep how many begin anew and how many failed; returns how many.
local function rescue(most)
  local rescued, crashed = 0, 0
  for _, tid in ipairs(call('ZRANGEBYSCORE', S .. 'leases', '-inf', num(now), 'LIMIT', 0, most)) do
    local j = find(tid)
    if not j or j.st ~= 'r' then
      call('ZREM', S .. 'leases', tid)
    else
      local became = crash(j)
      if became == 'p' then rescued = rescued + 1 elseif became == 'f' then crashed = crashed + 1 end
    end
  end
  if rescued > 0 then call('HINCRBY', S .. 'swept', 'again', rescued) end
  if crashed > 0 then call('HINCRBY', S .. 'swept', 'failed', crashed) end
  return rescued + crashed
end

local function overdue(j)
  unplace(j)
  finish(j, 'f', OVERDUE, {'b:fail', said('deadline_exceeded', OVERDUE)})
end

local function is_uuid(text)
  return #text == 36 and string.find(text, '^%x+%-%x+%-%x+%-%x+%-%x+$') and string.lower(text) == text
end

-- The id of a job that came by BullMQ's own ways: a UUID of version 8 made of its queue and its id there.
local function name_foreign(q, jid)
  if is_uuid(jid) then
    local at = call('HGET', S .. 'at', jid)
    if not at or at == q then return jid, q end
  end
  local h = redis.sha1hex(q .. ':' .. jid)
  local variant = string.sub('89ab', tonumber(string.sub(h, 17, 17), 16) % 4 + 1, tonumber(string.sub(h, 17, 17), 16) % 4 + 1)
  return string.sub(h, 1, 8) .. '-' .. string.sub(h, 9, 12) .. '-8' .. string.sub(h, 14, 16) .. '-' .. variant ..
    string.sub(h, 18, 20) .. '-' .. string.sub(h, 21, 32), q .. ':' .. jid
end

-- Takes a job that BullMQ put among those that may begin into our order, and into our books if it is new there.
local function adopt(q, jid)
  local j = load(q, jid)
  if not j then
    call('ZREM', key(q, 'prioritized'), jid)
    return
  end
  if not j.st then
    local h = call('HMGET', j.key, 'opts', 'atm', 'timestamp')
    local fine, opts = pcall(cjson.decode, h[1] or '{}')
    if not fine or type(opts) ~= 'table' then opts = {} end
    local tid, at = name_foreign(q, jid)
    j.tid, j.st = tid, 'p'
    j.max = math.max(tonumber(opts.attempts) or 1, 1)
    j.att = math.min(tonumber(h[2]) or 0, j.max - 1)
    if not tonumber(h[3]) then call('HSET', j.key, 'timestamp', num(now)) end
    call('HSET', S .. 'at', tid, at)
    call('ZADD', S .. 'live', 0, tid)
    call('HSET', j.key, 'b:id', tid, 'b:st', 'p', 'b:max', j.max, 'b:att', j.att)
    j.due = tick()
  elseif j.st == 'r' then
    -- BullMQ found the lock gone before our own sweep did.
    call('ZREM', key(q, 'prioritized'), jid)
    crash(j)
    return
  elseif j.st ~= 'p' then
    -- Somebody had BullMQ try it again: from where it ended to the start.
    call('ZREM', S .. 'ends', j.tid)
    call('ZREM', S .. 'st:' .. j.st, j.tid)
    call('ZADD', S .. 'live', 0, j.tid)
    call('HSET', j.key, 'b:st', 'p', 'b:att', 0)
    call('HDEL', j.key, 'b:can')
    j.st, j.att, j.due = 'p', 0, tick()
  else
    -- A worker of BullMQ's may have tried it.
    j.att = math.max(j.att, tonumber(call('HGET', j.key, 'atm') or '0') or 0)
    call('HSET', j.key, 'b:att', j.att)
    if j.due > now_us then j.due = tick() end
  end
  call('HDEL', j.key, 'defa')
  make_ready(j)
end

local function adopt_all(q, most)
  local strangers = call('ZRANGEBYSCORE', key(q, 'prioritized'), '-inf', FOREIGN, 'LIMIT', 0, most)
  for _, jid in ipairs(strangers) do adopt(q, jid) end
  for _ = 1, most do
    local jid = call('RPOP', key(q, 'wait'))
    if not jid then break end
    -- BullMQ once put markers there.
    if string.sub(jid, 1, 2) ~= '0:' then adopt(q, jid) end
  end
end

-- Moves what is due among those that may begin.
local function promote(q, most)
  local due = call('ZRANGEBYSCORE', key(q, 'delayed'), '-inf', num((now + 1) * 0x1000 - 1), 'LIMIT', 0, most)
  for _, jid in ipairs(due) do
    call('ZREM', key(q, 'delayed'), jid)
    local j = load(q, jid)
    if j and j.st == 'p' then
      call('HSET', j.key, 'delay', 0)
      make_ready(j, 'delayed')
    elseif j then
      call('HSET', j.key, 'delay', 0)
      adopt(q, jid)
    end
  end
end

-- Brings the books up to what a worker of BullMQ's did with a job; returns it, or nil if it is gone.
local function sync(tid)
  local q, jid = locate(tid)
  if not q then return nil end
  local j = load(q, jid)
  if not j then return nil end
  if j.st ~= 'p' then return j end
  local set = j.pl == 'r' and 'prioritized' or j.pl == 'd' and 'delayed' or 'waiting-children'
  if call('ZSCORE', key(q, set), jid) then return j end
  if j.pl == 'r' then call('ZREM', lane(q, j.kind), jid) end
  local done = call('HMGET', j.key, 'returnvalue', 'failedReason', 'atm')
  j.att = tonumber(done[3]) or j.att
  if call('ZSCORE', key(q, 'completed'), jid) then
    finish(j, 'c', done[1] or 'null', {'b:att', j.att})
  elseif call('ZSCORE', key(q, 'failed'), jid) then
    local failure = cjson.encode({kind = 'error', message = done[2] or ''})
    finish(j, 'f', done[2] or '', {'b:att', j.att, 'b:fail', failure})
  elseif call('ZSCORE', key(q, 'delayed'), jid) then
    j.pl = 'd'
    call('HSET', j.key, 'b:pl', 'd', 'b:att', j.att)
  elseif call('EXISTS', j.key .. ':lock') == 1 then
    j.st = 'n'
  end
  return j
end

-- The job that makes one with this key, window in ms and scope a duplicate.
local function twin(key, within, scope)
  local tid = call('HGET', S .. 'unique', key)
  local j = tid and sync(tid)
  if not j then return nil end
  if within and now - (tonumber(call('HGET', j.key, 'timestamp')) or 0) >= within then return nil end
  local st = j.st
  if scope == 'p' and st ~= 'p' then return nil end
  if scope == 'u' and st ~= 'p' and st ~= 'r' and st ~= 'n' then return nil end
  if scope == 'n' and (st == 'f' or st == 'x') then return nil end
  return tid
end

local function forget(tid)
  local q, jid = locate(tid)
  local j = q and load(q, jid)
  if j then
    if j.uk and call('HGET', S .. 'unique', j.uk) == tid then call('HDEL', S .. 'unique', j.uk) end
    if j.bt then call('ZREM', S .. 'batch:' .. j.bt, tid) end
    unplace(j)
    call('DEL', j.key, j.key .. ':logs', j.key .. ':lock')
  end
  call('HDEL', S .. 'at', tid)
  call('ZREM', S .. 'live', tid)
  call('ZREM', S .. 'ends', tid)
  call('ZREM', S .. 'deadlines', tid)
  for _, state in ipairs({'c', 'f', 'x'}) do call('ZREM', S .. 'st:' .. state, tid) end
end

-- Does what was put off, and says to whoever listens what has changed; the last thing that each script does.
local function tell()
  flush()
  -- Now and then is enough for a stream that is cut in pieces of a hundred anyway.
  if now_us % 16 == 0 then
    for q in pairs(trim) do call('XTRIM', key(q, 'events'), 'MAXLEN', '~', 10000) end
  end
  if #ended > 0 then call('PUBLISH', S .. 'signals', 'e' .. table.concat(ended)) end
  if #cancelling > 0 then call('PUBLISH', S .. 'signals', 'c' .. table.concat(cancelling)) end
  for q in pairs(woken) do
    if call('DEL', S .. 'idle:' .. q) == 1 then call('PUBLISH', S .. 'signals', 'w' .. q) end
  end
end
