local by, name, owner, held, take, run, block, pace, ttl = unpack(ARGV)
if not is_live(owner) then
  return {'not leased'}
end
local key = name
if by == 'a' then
  key = redis.call('GET', address_of(name))
end
local session = key and redis.call('HMGET', session_of(key), 'owner', 'version', 'born', 'address', 'row', 'device', 'observes', 'rank')
if not session or not session[1] then
  if by == 'a' then
    redis.call('ZREM', prefix .. 'addresses', name)
  end
  return {'missing'}
end
local previous = session[1]
if previous == owner then
  if held == session[2] then
    return {'owned', key}
  end
elseif is_live(previous) then
  local node = string.match(previous, '^(%d+)')
  return {'owned by', key, previous, redis.call('PTTL', prefix .. 'node:' .. node)}
elseif take ~= '1' and held ~= session[2] then
  return {'free', key}
end
if not make_newest(key, owner, session[6], session[8], ttl, false) then
  remove_session(key, previous, session[4])
  return {'superseded', key}
end
if session[7] == '1' then
  set_observes(key, previous, '0')
  set_observes(key, owner, '1')
end
local version = text(redis.call('HINCRBY', session_of(key), 'version', 1))
redis.call('HSET', session_of(key), 'owner', owner)
redis.call('PEXPIRE', session_of(key), ttl)
local start, finish = next_block(key, run, block, pace)
return {'claimed', key, previous, version, session[3], session[4], start, finish, session[5]}
