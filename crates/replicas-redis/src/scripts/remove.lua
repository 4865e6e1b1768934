local key, version, owner = unpack(ARGV)
if not is_live(owner) then
  return {'not leased'}
end
local session = redis.call('HMGET', session_of(key), 'owner', 'version', 'address')
if session[1] then
  if session[1] ~= owner or session[2] ~= version then
    return {'not owner'}
  end
  move_address(key, session[3], '', '0')
  redis.call('DEL', session_of(key))
end
return {'removed'}
