-- ARGV: per job 22 fields, the last of which is how many jobs it depends on, then their ids.
local W = 22
local jobs, at = {}, 1
while at <= #ARGV do
  local a = {}
  for i = 1, W do a[i] = ARGV[at + i - 1] end
  a.deps = {}
  for i = 1, tonumber(a[W]) do a.deps[i] = ARGV[at + W - 1 + i] end
  at = at + W + #a.deps
  jobs[#jobs + 1] = a
end

-- All or none: what each becomes is decided before the first is taken in.
local new, keys, answers = {}, {}, {}
-- For which jobs of this call others stand.
local twins = {}
for i, a in ipairs(jobs) do
  local id = a[1]
  local known = (new[id] or call('HEXISTS', S .. 'at', id) == 1) and id
  if not known and a[13] ~= '' then known = twin(a[13], tonumber(a[14]), a[15]) or keys[a[13]] end
  if known then
    twins[id] = known
    answers[i] = 'd' .. known
  else
    for _, other in ipairs(a.deps) do
      if not new[other] and not twins[other] and call('HEXISTS', S .. 'at', other) == 0 then
        tell()
        return {'m' .. other}
      end
    end
    new[id] = true
    if a[13] ~= '' then keys[a[13]] = id end
    answers[i] = 'n' .. id
  end
end

local function insert(a)
  local id, q, kind = a[1], a[2], a[3]
  -- What it depends on may stand before it in this call.
  if #a.deps > 0 then flush() end
  local due = tick()
  if a[8] == 'i' and tonumber(a[9]) > 0 then
    due = now_us + tonumber(a[9])
  elseif a[8] == 'a' then
    due = math.max(due, tonumber(a[9]))
  end
  local k = key(q, id)
  local fields = {'name', kind, 'data', a[4], 'opts', a[6], 'timestamp', num(now), 'delay', '0', 'priority', a[19],
    'b:j', a[5], 'b:st', 'p', 'b:max', a[10], 'b:hs', a[7], 'b:due', num(due)}
  local plain = #fields
  local function put(name, value)
    fields[#fields + 1], fields[#fields + 2] = name, value
  end
  local j = {q = q, jid = id, tid = id, key = k, kind = kind, st = 'p', att = 0, max = tonumber(a[10]), due = due,
    hs = tonumber(a[7]), re = tonumber(a[11]), rf = tonumber(a[12]), uw = tonumber(a[14]) or 0, wf = 0}
  if a[13] ~= '' then
    j.uk = a[13]
    put('b:uk', a[13])
    if a[14] ~= '' then put('b:uw', a[14]) end
    call('HSET', S .. 'unique', a[13], id)
  end
  if a[16] ~= '' then
    local limit = cjson.decode(a[16])
    j.lk = limit[1]
    put('b:lk', limit[1])
    if limit[2] > 0 then put('b:lc', limit[2]) end
    if limit[3] > 0 then
      put('b:lr', limit[3])
      put('b:lp', num(limit[4]))
    end
  end
  if a[17] == '1' then
    j.of = '1'
    put('b:of', '1')
  end
  if a[18] ~= '' then
    j.bt = a[18]
    put('b:bt', a[18])
    call('ZADD', S .. 'batch:' .. a[18], 0, id)
  end
  if a[20] ~= '' then
    j.dl = tonumber(a[20])
    put('b:dl', a[20])
    call('ZADD', S .. 'deadlines', a[20], id)
  end
  if a[11] ~= '86400000' or a[12] ~= '604800000' then
    put('b:re', a[11])
    put('b:rf', a[12])
  end
  local doomed = false
  local seen = {}
  for _, other in ipairs(a.deps) do
    other = twins[other] or other
    local o = not seen[other] and sync(other)
    seen[other] = true
    if o and (o.st == 'p' or o.st == 'r' or o.st == 'n') then
      j.wf = j.wf + 1
      call('SADD', S .. 'dep:' .. other, id)
      call('HSET', o.key, 'b:dep', '1', 'b:x', '1')
    elseif o and o.st ~= 'c' and j.of ~= '1' then
      doomed = true
    end
  end
  if j.wf > 0 then put('b:wf', j.wf) end
  if #fields > plain then put('b:x', '1') end
  if a[21] ~= '' then put('b:raw', a[21]) end
  call('HSET', k, unpack(fields))
  call('HSET', S .. 'at', id, q)
  add(S .. 'live', 0, id)
  -- One that is doomed leaves it at once.
  if doomed then flush() end
  event(q, 'added', 'jobId', id, 'name', kind)
  if doomed then
    finish(j, 'x', DEPENDENCY, {'b:can', DEPENDENCY})
  elseif j.wf > 0 then
    call('ZADD', key(q, 'waiting-children'), num(now), id)
    call('HSET', k, 'b:pl', 'w')
  else
    schedule(j, 'waiting', true)
  end
end

local queues = {}
for i, a in ipairs(jobs) do
  if string.sub(answers[i], 1, 1) == 'n' and new[a[1]] then
    new[a[1]] = nil
    if not queues[a[2]] then
      queues[a[2]] = true
      call('SADD', S .. 'queues', a[2])
    end
    insert(a)
  end
end
tell()
return answers
