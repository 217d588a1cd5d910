-- ARGV: the last id or empty, how many, then the sets to list. Answer: ids, in order.
local from, most = ARGV[1] == '' and '-' or '(' .. ARGV[1], tonumber(ARGV[2])
local all = {}
for i = 3, #ARGV do
  for _, tid in ipairs(call('ZRANGEBYLEX', S .. ARGV[i], from, '+', 'LIMIT', 0, most)) do all[#all + 1] = tid end
end
table.sort(all)
local first = {}
for i = 1, math.min(most, #all) do first[i] = all[i] end
return first
