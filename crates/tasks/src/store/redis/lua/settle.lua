-- ARGV: per end six fields: id, fence, what, and three that depend on it. Answer: per end 1 if it was taken.
rescue(100)
local answers = {}
local now_text, forget_text = num(now), num(now + 86400000)
local ids, locks, done = {}, {}, {}
for at = 1, #ARGV, 6 do ids[#ids + 1] = ARGV[at] end
local queues = #ids > 0 and call('HMGET', S .. 'at', unpack(ids)) or {}

-- The completion of a job of ours that shares nothing with others, which most are: as below, in short. Says whether it
-- was one.
local function complete_plain(q, tid, fence, output)
  local k = key(q, tid)
  local h = redis.pcall('HMGET', k, 'b:st', 'b:f', 'b:un', 'b:x', 'b:att')
  if h.err or h[1] ~= 'r' or h[2] ~= fence or h[4] or not h[3] or tonumber(h[3]) <= now then return false end
  call('LREM', key(q, 'active'), -1, tid)
  call('HSET', k, 'b:st', 'c', 'finishedOn', now_text, 'atm', h[5] or '1', 'returnvalue', output)
  event(q, 'completed', 'jobId', tid, 'returnvalue', output, 'prev', 'active')
  locks[#locks + 1] = k .. ':lock'
  done[#done + 1] = tid
  woken[q] = true
  add(key(q, 'completed'), now_text, tid)
  ended[#ended + 1] = tid
  return true
end

for at = 1, #ARGV, 6 do
  local tid, fence, what, a, b, c = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5]
  local q = queues[(at + 5) / 6]
  local plain = what == 'c' and q and not string.find(q, ':', 1, true) and complete_plain(q, tid, fence, a)
  local j = not plain and find(tid)
  if plain then
    answers[#answers + 1] = 1
  elseif not j or j.st ~= 'r' or j.f ~= fence or j.un <= now then
    answers[#answers + 1] = 0
  else
    unplace(j)
    if what == 'c' then
      finish(j, 'c', a)
    elseif what == 'f' or (what == 'r' and not j.can and j.att >= j.max) then
      finish(j, 'f', b, {'b:fail', a})
    elseif what == 'x' then
      finish(j, 'x', j.can or a, {'b:can', j.can or a})
    elseif j.can then
      -- Whoever wants it cancelled does not want it tried again.
      finish(j, 'x', j.can)
    elseif what == 'r' then
      again(j, tonumber(c) > 0 and now_us + tonumber(c) or tick(), {'b:fail', a})
    else
      j.att = math.max(j.att - 1, 0)
      again(j, what == 's' and tonumber(a) > 0 and now_us + tonumber(a) or what == 's' and tick() or j.due)
    end
    answers[#answers + 1] = 1
  end
end
for _, tid in ipairs(done) do
  remove(S .. 'leases', tid)
  remove(S .. 'live', tid)
  add(S .. 'st:c', 0, tid)
  add(S .. 'ends', forget_text, tid)
end
if #locks > 0 then call('DEL', unpack(locks)) end
tell()
return answers
