local key, version, owner, address, run, block, pace, ttl, row, moves, observes = unpack(ARGV)
if not is_live(owner) then
  return {'not leased'}
end
local session = redis.call('HMGET', session_of(key), 'owner', 'version', 'address', 'device', 'observes')
if not session[1] then
  return {'missing'}
end
if session[1] ~= owner or session[2] ~= version then
  return {'not owner'}
end
redis.call('HSET', session_of(key), 'row', row, 'observes', observes)
if session[5] ~= observes then
  set_observes(key, owner, observes)
end
if session[4] ~= '' and redis.call('GET', device_of(session[4])) == key then
  redis.call('PEXPIRE', device_of(session[4]), ttl)
end
redis.call('PEXPIRE', session_of(key), ttl)
move_address(key, session[3], moves == '1' and address or session[3], ttl)
if block == '' then
  return {'saved'}
end
local start, finish = next_block(key, run, block, pace)
return {'saved', start, finish}
