-- ARGV: id, reason. Answer: the state, or an empty text.
rescue(100)
local j = sync(ARGV[1])
local answer = ''
if j then
  if j.st == 'p' then
    unplace(j)
    finish(j, 'x', ARGV[2], {'b:can', ARGV[2]}, ARGV[2])
    answer = 'x'
  elseif j.st == 'r' then
    if not j.can then call('HSET', j.key, 'b:can', ARGV[2]) end
    cancelling[1] = j.tid
    answer = 'r'
  else
    answer = j.st
  end
end
tell()
return answer
