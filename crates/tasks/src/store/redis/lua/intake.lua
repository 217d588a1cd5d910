-- Takes in jobs that begin as soon as somebody is free and share nothing with others, which most are: what enqueue.lua
-- does for them, without what the others need. It stands alone, since setting up what the scripts share takes longer
-- than taking in one job.
--
-- ARGV: per run of jobs that are alike: queue, kind, head start in us, number of fields and values, these, number of
-- jobs, then per job its id and its data. Answer: per job n for new or d for one that was known.
local P, S = KEYS[1], KEYS[2]
local call, format = redis.call, string.format
local time = call('TIME')
local us = time[1] * 1000000 + time[2]
local now = format('%.0f', math.floor(us / 1000))
local begun = us
local answers, seen, met = {}, {}, {}

local function add(zset, list)
  for from = 1, #list, 2000 do call('ZADD', zset, unpack(list, from, math.min(from + 1999, #list))) end
end

local at = 1
while at <= #ARGV do
  local q, kind, start, width = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local from, to = at + 4, at + 3 + width
  local count = tonumber(ARGV[to + 1])
  local base = P .. ':' .. q .. ':'
  local events = base .. 'events'
  local ranks, lives, places = {}, {}, {}
  at = to + 2
  for _ = 1, count do
    local id = ARGV[at]
    if not met[id] and call('HEXISTS', S .. 'at', id) == 0 then
      met[id] = true
      -- Strictly rising, so that jobs of one call keep their order.
      call('HSET', base .. id, 'data', ARGV[at + 1], 'timestamp', now, 'b:due', format('%.0f', us),
        unpack(ARGV, from, to))
      call('XADD', events, '*', 'event', 'added', 'jobId', id, 'name', kind)
      ranks[#ranks + 1] = format('%.0f', us - start)
      ranks[#ranks + 1] = id
      lives[#lives + 1] = 0
      lives[#lives + 1] = id
      places[#places + 1] = id
      places[#places + 1] = q
      answers[#answers + 1] = 'n'
    else
      answers[#answers + 1] = 'd'
    end
    us = us + 1
    at = at + 2
  end
  if #ranks > 0 then
    add(base .. 'prioritized', ranks)
    add(S .. 'lane:' .. q .. ':' .. kind, ranks)
    add(S .. 'live', lives)
    -- Known only once it can begin: whoever says it again after an error finds it new.
    for first = 1, #places, 2000 do
      call('HSET', S .. 'at', unpack(places, first, math.min(first + 1999, #places)))
    end
    if call('SADD', S .. 'lanes:' .. q, kind) == 1 then call('SADD', S .. 'queues', q) end
    seen[q] = (seen[q] or 0) + #ranks
  end
end

for q, many in pairs(seen) do
  local base = P .. ':' .. q .. ':'
  if not call('ZSCORE', base .. 'marker', '0') and call('HEXISTS', base .. 'meta', 'paused') == 0 then
    call('ZADD', base .. 'marker', 0, '0')
  end
  if many > 1000 or begun % 16 == 0 then call('XTRIM', base .. 'events', 'MAXLEN', '~', 10000) end
  if call('DEL', S .. 'idle:' .. q) == 1 then call('PUBLISH', S .. 'signals', 'w' .. q) end
end
return table.concat(answers)
