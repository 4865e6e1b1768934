local owner = ARGV[1]
if is_live(owner) then
  redis.call('DEL', prefix .. 'node:' .. string.match(owner, '^(%d+)'))
end
return {'released'}
