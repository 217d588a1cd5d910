-- ARGV: ids. Answer: per id the fields of its hash with its queue, state and id before them, or an empty list.
local answers = {}
for i, tid in ipairs(ARGV) do
  local j = sync(tid)
  if j then
    answers[i] = {j.q, j.st, j.tid, call('HGETALL', j.key)}
  else
    if locate(tid) then forget(tid) end
    answers[i] = {}
  end
end
tell()
return answers
