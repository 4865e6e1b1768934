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
