local had_node, had_fence, instance, address, length, seen, superseded_seen, id, run = unpack(ARGV)
redis.call('SET', prefix .. 'id', id, 'NX')
local keys = {}
for number = 0, MAX_NODES - 1 do
  keys[number + 1] = prefix .. 'node:' .. number
end
local node, fence, is_new = nil, nil, '1'
local free = nil
for index, lease in ipairs(redis.call('MGET', unpack(keys))) do
  local number = text(index - 1)
  if not lease then
    if not free or number == had_node then
      free = number
    end
  elseif string.match(lease, '^%d+ (%x+) ') == instance then
    node, fence = number, string.match(lease, '^%d+')
    -- The reply to the call that began this lease may have been lost.
    is_new = (node == had_node and fence == had_fence) and '0' or '1'
  end
end
if not node then
  node = free
  if not node then
    return {'no number'}
  end
  fence = text(redis.call('INCR', prefix .. 'fence'))
end
redis.call('SET', prefix .. 'node:' .. node, fence .. ' ' .. instance .. ' ' .. address, 'PX', length)

local members = {}
for index, lease in ipairs(redis.call('MGET', unpack(keys))) do
  if lease then
    members[#members + 1] = text(index - 1)
    members[#members + 1] = lease
  end
end

-- Addresses whose sessions have gone with their time to live leave the list, some with each renewal.
for _, old in ipairs(redis.call('ZRANDMEMBER', prefix .. 'addresses', 8)) do
  if redis.call('EXISTS', address_of(old)) == 0 then
    redis.call('ZREM', prefix .. 'addresses', old)
  end
end
local added = redis.call('ZRANGEBYSCORE', prefix .. 'addresses', '(' .. seen, '+inf', 'WITHSCORES', 'LIMIT', 0, MAX_ADDRESSES)
local addresses = {}
for index = 1, #added, 2 do
  addresses[#addresses + 1] = added[index]
end
local read = redis.call('GET', prefix .. 'added') or '0'
if #addresses == MAX_ADDRESSES then
  read = added[#added]
end
local ended = redis.call('ZRANGEBYSCORE', prefix .. 'superseded', '(' .. superseded_seen, '+inf', 'WITHSCORES', 'LIMIT', 0, MAX_SUPERSEDED)
local superseded = {}
for index = 1, #ended, 2 do
  superseded[#superseded + 1] = ended[index]
end
local superseded_read = redis.call('GET', prefix .. 'ended') or '0'
if #superseded == MAX_SUPERSEDED then
  superseded_read = ended[#ended]
end
local has_orphans = '0'
for _, owner in ipairs(redis.call('SMEMBERS', prefix .. 'owners')) do
  if not is_live(owner) then
    has_orphans = '1'
  end
end
return {'leased', node, fence, is_new, redis.call('GET', prefix .. 'id'), run, members, addresses, read, superseded, superseded_read, has_orphans, redis.call('TIME')[1]}
