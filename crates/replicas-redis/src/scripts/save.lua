local key, version, owner, address, run, block, pace, ttl, row, moves, observes = unpack(ARGV)
if not is_live(owner) then
  return {'not leased'}
end
local session = redis.call('HMGET', session_of(key), 'owner', 'version', 'address', 'device', 'observes', 'rank')
if not session[1] then
  return {'missing'}
end
if session[1] ~= owner or session[2] ~= version then
  return {'not owner'}
end
if not make_newest(key, owner, session[4], session[6], ttl, false) then
  remove_session(key, owner, session[3])
  return {'superseded', key}
end
redis.call('HSET', session_of(key), 'row', row, 'observes', observes)
if session[5] ~= observes then
  set_observes(key, owner, observes)
end
redis.call('PEXPIRE', session_of(key), ttl)
move_address(key, session[3], moves == '1' and address or session[3], ttl)
if block == '' then
  return {'saved'}
end
local start, finish = next_block(key, run, block, pace)
return {'saved', start, finish}
