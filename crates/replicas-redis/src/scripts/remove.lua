local key, version, owner = unpack(ARGV)
if not is_live(owner) then
  return {'not leased'}
end
local session = redis.call('HMGET', session_of(key), 'owner', 'version', 'address')
if session[1] then
  if session[1] ~= owner or session[2] ~= version then
    return {'not owner'}
  end
  remove_session(key, owner, session[3])
end
return {'removed'}
