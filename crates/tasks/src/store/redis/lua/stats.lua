-- Answer: completed, failed, cancelled, then per queue name, ready, scheduled, running, oldest in us or -1, paused.
rescue(1000)
flush()
local answer = {call('ZCARD', S .. 'st:c'), call('ZCARD', S .. 'st:f'), call('ZCARD', S .. 'st:x')}
for _, q in ipairs(call('SMEMBERS', S .. 'queues')) do
  adopt_all(q, 1000)
  promote(q, 1000)
  local ready = call('ZCARD', key(q, 'prioritized')) + call('LLEN', key(q, 'wait'))
  local scheduled = call('ZCARD', key(q, 'delayed')) + call('ZCARD', key(q, 'waiting-children'))
  local running = call('LLEN', key(q, 'active'))
  if ready + scheduled + running > 0 or is_paused(q) then
    -- The oldest is among the first by rank, but for what priorities set before it.
    local oldest = -1
    for _, jid in ipairs(call('ZRANGE', key(q, 'prioritized'), 0, 49)) do
      local due = tonumber(call('HGET', key(q, jid), 'b:due'))
      if due then oldest = math.max(oldest, now_us - due) end
    end
    answer[#answer + 1] = {q, tostring(ready), tostring(scheduled), tostring(running), num(oldest), is_paused(q) and '1' or '0'}
  end
end
tell()
return answer
