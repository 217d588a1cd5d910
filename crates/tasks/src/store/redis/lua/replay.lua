-- ARGV: ids. Answer: how many were taken up again.
local count = 0
for _, tid in ipairs(ARGV) do
  local j = sync(tid)
  if j and (j.st == 'f' or j.st == 'x') then
    unplace(j)
    call('HDEL', j.key, 'b:can', 'b:wf', 'b:dl', 'pb', 'finishedOn', 'failedReason')
    call('ZADD', S .. 'live', 0, tid)
    j.att, j.wf, j.can, j.dl = 0, 0, nil, nil
    again(j, tick())
    count = count + 1
  end
end
tell()
return count
