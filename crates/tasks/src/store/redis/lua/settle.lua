-- ARGV: per end six fields: id, fence, what, and three that depend on it. Answer: per end 1 if it was taken.
rescue(100)
local answers = {}
for at = 1, #ARGV, 6 do
  local tid, fence, what, a, b, c = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5]
  local j = find(tid)
  if not j or j.st ~= 'r' or j.f ~= fence or j.un <= now then
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
tell()
return answers
