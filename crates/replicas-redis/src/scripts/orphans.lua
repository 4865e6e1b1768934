local caller, most = ARGV[1], tonumber(ARGV[2])
if not is_live(caller) then
  return {'not leased'}
end
local keys = {}
for _, owner in ipairs(redis.call('SMEMBERS', prefix .. 'owners')) do
  if #keys < most and not is_live(owner) then
    local left = false
    for _, key in ipairs(redis.call('SRANDMEMBER', observers_of(owner), most - #keys)) do
      if redis.call('HGET', session_of(key), 'owner') == owner then
        keys[#keys + 1] = key
        left = true
      else
        -- It has gone with its time to live.
        redis.call('SREM', observers_of(owner), key)
      end
    end
    if not left and redis.call('EXISTS', observers_of(owner)) == 0 then
      redis.call('SREM', prefix .. 'owners', owner)
    end
  end
end
return {'orphans', keys}
