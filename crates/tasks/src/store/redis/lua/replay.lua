-- ARGV: ids. Answer: how many were taken up again.
local count = 0

-- Says whether another one has taken its place meanwhile.
local function is_taken(j)
  if not j.uk then return false end
  local fine, books = pcall(cjson.decode, call('HGET', j.key, 'b:j') or '')
  local unique = fine and type(books) == 'table' and books.unique
  local scope = type(unique) == 'table' and string.sub(unique.scope, 1, 1) or 'u'
  local within = call('HGET', j.key, 'b:uw')
  local other = twin(j.uk, within and tonumber(within), scope)
  return other and other ~= j.tid
end

for _, tid in ipairs(ARGV) do
  local j = sync(tid)
  if j and (j.st == 'f' or j.st == 'x') and not is_taken(j) then
    if j.uk then call('HSET', S .. 'unique', j.uk, tid) end
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
