local key, owner, address, start, born, run, block, pace, ttl, row, is_again, device, observes = unpack(ARGV)
if not is_live(owner) then
  return {'not leased'}
end
local there = redis.call('HMGET', session_of(key), 'owner', 'version', 'bound')
if there[1] == owner and there[2] == '0' then
  return {'created', text(tonumber(there[3]) - tonumber(block)), there[3], ''}
elseif there[1] then
  return {'exists'}
end
local is_newest, former, rank = make_newest(key, owner, device, born, ttl, true)
if not is_newest then
  return {'superseded', key}
end
-- Of a run that there never is, so that numbers are skipped.
local in_run = is_again == '1' and '' or run
redis.call('HSET', session_of(key), 'owner', owner, 'version', '0', 'born', born, 'rank', rank, 'bound', start, 'run', in_run, 'row', row, 'address', '', 'device', device, 'observes', observes)
local first, finish = next_block(key, run, block, pace)
redis.call('PEXPIRE', session_of(key), ttl)
move_address(key, '', address, ttl)
set_observes(key, owner, observes)
return {'created', first, finish, former}
