-- What all scripts use. Each is one atomic step. Numbers are doubles here: exact below 2^53, and send numbers have 48 bits.
local prefix = KEYS[1]

local function text(number)
  return string.format('%.0f', number)
end

-- The lease of a node is "fence instance address". An owner is "node.fence".
local function lease_of(node)
  return redis.call('GET', prefix .. 'node:' .. node)
end

local function is_live(owner)
  local node, fence = string.match(owner, '^(%d+)%.(%d+)$')
  local lease = node and lease_of(node)
  return lease and string.sub(lease, 1, #fence + 1) == fence .. ' '
end

local function session_of(key)
  return prefix .. 's:' .. key
end

local function address_of(address)
  return prefix .. 'a:' .. address
end

local function device_of(device)
  return prefix .. 'd:' .. device
end

-- The sessions of an owner that have observations.
local function observers_of(owner)
  return prefix .. 'o:' .. owner
end

local function set_observes(key, owner, observes)
  if observes == '1' then
    if redis.call('SADD', observers_of(owner), key) == 1 then
      redis.call('SADD', prefix .. 'owners', owner)
    end
  else
    redis.call('SREM', observers_of(owner), key)
  end
end

-- Gives out the next block of a session's numbers.
local function next_block(key, run, block, pace)
  local session = redis.call('HMGET', session_of(key), 'bound', 'run', 'born')
  local start = tonumber(session[1])
  if session[2] ~= run then
    local age = tonumber(redis.call('TIME')[1]) - tonumber(session[3])
    start = math.max(start, age * tonumber(pace))
  end
  local finish = start + tonumber(block)
  redis.call('HSET', session_of(key), 'bound', text(finish), 'run', run)
  return text(start), text(finish)
end

local function move_address(key, from, to, ttl)
  if from ~= to then
    redis.call('HSET', session_of(key), 'address', to)
    if from ~= '' and redis.call('GET', address_of(from)) == key then
      redis.call('DEL', address_of(from))
      redis.call('ZREM', prefix .. 'addresses', from)
    end
    if to ~= '' then
      local former = redis.call('GET', address_of(to))
      if former and redis.call('EXISTS', session_of(former)) == 1 then
        redis.call('HSET', session_of(former), 'address', '')
      end
      redis.call('HSET', session_of(key), 'address', to)
      redis.call('ZADD', prefix .. 'addresses', redis.call('INCR', prefix .. 'added'), to)
    end
  end
  if to ~= '' and (from ~= to or redis.call('GET', address_of(to)) == key) then
    redis.call('SET', address_of(to), key, 'PX', ttl)
  end
end

local function remove_session(key, owner, address)
  move_address(key, address, '', '0')
  redis.call('SREM', observers_of(owner), key)
  redis.call('DEL', session_of(key))
end

-- A session of a device is created, or else claimed or saved. Returns whether it is the newest, the live owner of the one that it
-- supersedes, and its rank: when it was established, or the rank of one that it supersedes and that seems to be newer.
local function make_newest(key, owner, device, rank, ttl, is_created)
  if device == '' then
    return true, '', rank
  end
  local former = ''
  local newest = redis.call('GET', device_of(device))
  if newest and newest ~= key then
    local there = redis.call('HMGET', session_of(newest), 'owner', 'rank', 'address')
    if there[1] then
      local difference = tonumber(there[2]) - tonumber(rank)
      local is_newer = difference >= 0
      if is_created then
        is_newer = difference > CLOCK_ERROR
      end
      if there[1] == owner and is_newer then
        return true, '', rank
      elseif is_newer then
        return false, '', rank
      end
      if difference > 0 then
        rank = there[2]
      end
      if there[1] ~= owner and is_live(there[1]) then
        former = there[1]
        redis.call('ZADD', prefix .. 'superseded', redis.call('INCR', prefix .. 'ended'), newest)
        -- Nodes read it with each renewal.
        redis.call('ZREMRANGEBYRANK', prefix .. 'superseded', 0, -10 * MAX_SUPERSEDED)
      elseif there[1] ~= owner then
        remove_session(newest, there[1], there[3])
      end
    end
  end
  redis.call('SET', device_of(device), key, 'PX', ttl)
  return true, former, rank
end
