-- ARGV: worker, most, term ms, whether it waits, number of queues, per queue (name, concurrency, rate, per ms), kinds.
-- Answer: ms until something may be due (-1 for never), then per claim ten fields.
local worker, most, term, waits = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4] == '1'
local count = tonumber(ARGV[5])
local kinds = {}
for i = 6 + count * 4, #ARGV do kinds[#kinds + 1] = ARGV[i] end
rescue(100)
open_windows(100)

local next_due
local function look_at(time)
  if time and (not next_due or time < next_due) then next_due = time end
end

-- The heads of the lanes that this request can take from.
local queues, lanes = {}, {}
for n = 0, count - 1 do
  local b = 6 + n * 4
  local q = {name = ARGV[b], most = tonumber(ARGV[b + 1]), rate = tonumber(ARGV[b + 2]), per = tonumber(ARGV[b + 3])}
  if not queues[q.name] then
    queues[q.name] = q
    adopt_all(q.name, 500)
    promote(q.name, 1000)
    if not is_paused(q.name) and #kinds > 0 then
      for from = 1, #kinds, 1000 do
        local to = math.min(from + 999, #kinds)
        local there = call('SMISMEMBER', S .. 'lanes:' .. q.name, unpack(kinds, from, to))
        for i = from, to do
          if there[i - from + 1] == 1 then
            lanes[#lanes + 1] = {q = q, kind = kinds[i], key = lane(q.name, kinds[i]), heads = {}, at = 1, dry = false}
          end
        end
      end
    end
  end
end

local function head(l)
  if l.at > #l.heads and not l.dry then
    -- What was given out is taken from its lanes all at once.
    flush()
    l.heads = call('ZRANGE', l.key, 0, most - 1, 'WITHSCORES')
    l.at = 1
    local names = {}
    for i = 1, #l.heads, 2 do names[#names + 1] = l.heads[i] end
    -- Which of them no worker of BullMQ's took, nor anybody removed.
    if #names > 0 then l.there = call('ZMSCORE', key(l.q.name, 'prioritized'), unpack(names)) end
    if #l.heads == 0 then
      l.dry = true
      call('SREM', S .. 'lanes:' .. l.q.name, l.kind)
      laned[l.key] = nil
    end
  end
  return l.heads[l.at], tonumber(l.heads[l.at + 1])
end

local function busy(j)
  if j.lc and (tonumber(call('HGET', S .. 'runs', j.lk)) or 0) >= j.lc then
    -- What ends lets it try.
  elseif j.lr and (tonumber(call('GET', S .. 'key-rate:' .. j.lk)) or 0) >= j.lr then
    call('ZADD', S .. 'opens', num(now + math.max(call('PTTL', S .. 'key-rate:' .. j.lk), 1)), j.lk)
  else
    return false
  end
  local name = hold_name(j)
  call('SADD', S .. 'held:' .. j.lk, name)
  call('ZADD', S .. 'held:' .. j.lk .. '\1' .. name, num(j.due - j.hs), j.jid)
  call('ZADD', key(j.q, 'waiting-children'), num(now), j.jid)
  call('HSET', j.key, 'b:pl', 'h')
  return true
end

local function start(name, starts, per)
  if call('INCR', S .. name) == 1 then call('PEXPIRE', S .. name, num(per)) end
end

local claims = {}
local fence
local now_text, until_text, term_text = num(now), num(now + term), num(term)
local function next_token()
  -- More numbers than may be needed, at once; by the clock, so that a server that forgot its latest claims, after a
  -- failover or a loss of power, gives none of their numbers out again.
  if not fence then
    fence = math.max(tonumber(call('GET', S .. 'fence')) or 0, now_us)
    call('SET', S .. 'fence', num(fence + most))
  end
  fence = fence + 1
  return num(fence)
end

local function give_out(j, q)
  local token = next_token()
  if j.f then call('HDEL', j.key, 'b:pr', 'b:pn', 'progress', 'defa') end
  j.att = j.att + 1
  call('SET', j.key .. ':lock', token, 'PX', term_text)
  q.given = q.given or {}
  q.given[#q.given + 1] = j.jid
  call('HSET', j.key, 'b:st', 'r', 'b:att', j.att, 'b:f', token, 'b:un', until_text, 'processedOn', now_text,
    'pb', worker, 'ats', j.att)
  add(S .. 'leases', until_text, j.tid)
  if j.dl then call('ZREM', S .. 'deadlines', j.tid) end
  event(q.name, 'active', 'jobId', j.jid, 'prev', 'waiting')
  if q.rate then start('queue-rate:' .. q.name, q.rate, q.per) end
  if j.lk then
    local runs = call('HINCRBY', S .. 'runs', j.lk, 1)
    if j.lr then start('key-rate:' .. j.lk, j.lr, j.lp) end
    -- What has the last place lets the next one try at its end.
    if (not j.lc or runs < j.lc) and call('EXISTS', S .. 'held:' .. j.lk) == 1 then
      flush()
      let_try(j.lk)
    end
  end
  claims[#claims + 1] = {j.tid, token, tostring(j.att), num(math.max(now_us - j.due, 0)), q.name, j.kind, j.data or '',
    j.books or '', j.raw or '', tostring(j.max)}
end

-- A job of ours that begins for the first time and shares nothing with others, which most are: as above, in short.
-- Says whether it was one.
local function give_plain(q, jid)
  local k = key(q.name, jid)
  local h = redis.pcall('HMGET', k, 'b:st', 'b:f', 'b:x', 'b:id', 'name', 'data', 'b:j', 'b:raw', 'b:due', 'b:max',
    'b:att')
  if h.err or h[1] ~= 'p' or h[2] or h[3] or h[4] or h[11] or not h[5] then return false end
  local token = next_token()
  call('SET', k .. ':lock', token, 'PX', term_text)
  q.given = q.given or {}
  q.given[#q.given + 1] = jid
  call('HSET', k, 'b:st', 'r', 'b:att', '1', 'b:f', token, 'b:un', until_text, 'processedOn', now_text, 'pb', worker,
    'ats', '1')
  add(S .. 'leases', until_text, jid)
  event(q.name, 'active', 'jobId', jid, 'prev', 'waiting')
  if q.rate then start('queue-rate:' .. q.name, q.rate, q.per) end
  claims[#claims + 1] = {jid, token, '1', num(math.max(now_us - (tonumber(h[9]) or now_us), 0)), q.name, h[5],
    h[6] or '', h[7] or '', h[8] or '', h[10] or '1'}
  return true
end

-- No more are moved out of the way at a time, or end there since they are late: others wait for the server too, and the
-- worker asks again.
local moved = 0
while #claims < most and moved < 1000 do
  local best, first, rank
  for _, l in ipairs(lanes) do
    if not l.q.shut then
      local jid, score = head(l)
      if jid and (not rank or score < rank) then best, first, rank = l, jid, score end
    end
  end
  if not best then break end
  local q = best.q
  if q.most and call('LLEN', key(q.name, 'active')) + (q.given and #q.given or 0) >= q.most then
    q.shut = true
  elseif q.rate and (tonumber(call('GET', S .. 'queue-rate:' .. q.name)) or 0) >= q.rate then
    q.shut = true
    look_at(now + math.max(call('PTTL', S .. 'queue-rate:' .. q.name), 1))
  else
    local had = best.there[(best.at + 1) / 2]
    best.at = best.at + 2
    remove(best.key, first)
    if had then remove(key(q.name, 'prioritized'), first) end
    if not (had and give_plain(q, first)) then
      local j, given = load(q.name, first, true), false
      -- What a worker of BullMQ's took meanwhile, or removed, is not ours to give.
      if j and j.st == 'p' and had then
        if j.dl and j.dl <= now then
          -- It lets others try, which may come into this very lane.
          flush()
          finish(j, 'f', OVERDUE, {'b:fail', said('deadline_exceeded', OVERDUE)})
        elseif not (j.lk and busy(j)) then
          give_out(j, q)
          given = true
        end
      elseif j and not had then
        call('SADD', S .. 'out', j.tid)
      end
      if not given then moved = moved + 1 end
    end
  end
end

for name, q in pairs(queues) do
  if q.given then
    call('LPUSH', key(name, 'active'), unpack(q.given))
  end
end

if #claims == 0 then
  flush()
  for name in pairs(queues) do
    -- The sweep is to look after it too, whoever fills it.
    call('SADD', S .. 'queues', name)
    local first = call('ZRANGE', key(name, 'delayed'), 0, 0, 'WITHSCORES')
    if first[2] then look_at(math.floor(first[2] / 0x1000)) end
    if waits then call('SET', S .. 'idle:' .. name, 1, 'PX', 60000) end
  end
  if moved >= 1000 then look_at(now) end
  local opens = call('ZRANGE', S .. 'opens', 0, 0, 'WITHSCORES')
  if opens[2] then look_at(tonumber(opens[2])) end
  local lease = call('ZRANGE', S .. 'leases', 0, 0, 'WITHSCORES')
  if lease[2] then look_at(tonumber(lease[2])) end
end
tell()
table.insert(claims, 1, next_due and num(math.max(next_due - now, 0)) or '-1')
return claims
