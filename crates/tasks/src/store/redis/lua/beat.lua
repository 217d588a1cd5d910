-- ARGV: worker, what it says, how long it is believed, term, number of leases, per lease (id, fence), per report
-- (id, fence, number, report, value). Answer: per lease "h", "l", or "c" and the reason.
rescue(100)
call('HSET', S .. 'workers', ARGV[1], num(now) .. ' ' .. ARGV[2])
call('ZADD', S .. 'seen', num(now + tonumber(ARGV[3])), ARGV[1])
local term, count = tonumber(ARGV[4]), tonumber(ARGV[5])
local function held(tid, fence)
  local j = find(tid)
  if j and j.st == 'r' and j.f == fence and j.un > now then return j end
end
local answers = {}
for i = 0, count - 1 do
  local tid, fence = ARGV[6 + i * 2], ARGV[7 + i * 2]
  local j = held(tid, fence)
  if j then
    local un = num(now + term)
    call('SET', j.key .. ':lock', fence, 'PX', num(term))
    call('HSET', j.key, 'b:un', un)
    call('ZADD', S .. 'leases', un, tid)
    answers[#answers + 1] = j.can and ('c' .. j.can) or 'h'
  else
    answers[#answers + 1] = 'l'
  end
end
local reported = {}
for at = 6 + count * 2, #ARGV, 5 do
  local tid, number, report, value = ARGV[at], tonumber(ARGV[at + 2]), ARGV[at + 3], ARGV[at + 4]
  local j = held(tid, ARGV[at + 1])
  if j and number > (tonumber(call('HGET', j.key, 'b:pn')) or 0) then
    call('HSET', j.key, 'b:pr', report, 'b:pn', num(number), 'progress', value)
    event(j.q, 'progress', 'jobId', j.jid, 'data', value)
    reported[#reported + 1] = tid
  end
end
if #reported > 0 then call('PUBLISH', S .. 'signals', 'p' .. table.concat(reported)) end
tell()
return answers
