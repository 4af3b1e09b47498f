-- Every call of the queue: KEYS[1] is what all keys begin with, ARGV[1] the call's name, the rest its arguments. A script is
-- all or nothing to everybody else, so between two steps of it nobody can die.
--
--   message:<id>      a message: its facts, its head and body
--   ready:<service>   stream of ids that may be taken; what is taken is pending in the group until it is acknowledged
--   leases:<service>  until when a taken one is its taker's; one that has run out may be taken again
--   delayed:<service> when one that failed becomes ready
--   all, waiting, dead  ids in the order in which they came; deadlines: when one dies; deaths: when one died
--   services          how many wait for each service; counters: how many there are
--   once:<scope>      the request of a client's key; done: when the key of a delivered one is forgotten

local P = KEYS[1]
local group = 'gateways'
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local errors_max = 10
local scanned_max = 2000

-- Lua would write large numbers with an exponent.
local function text(number)
  return string.format('%.0f', number)
end

local function message(id)
  return P .. 'message:' .. id
end

local function add(counter, by)
  redis.call('HINCRBY', P .. 'counters', counter, text(by))
end

local function counted(counter)
  return tonumber(redis.call('HGET', P .. 'counters', counter) or '0')
end

local function field(id, name)
  return redis.call('HGET', message(id), name)
end

local function lease_until(id, service)
  return tonumber(redis.call('ZSCORE', P .. 'leases:' .. service, id) or '0')
end

-- Where the last message of a service has gone, nothing is left of the service.
local function count_waiting(service, by, bytes)
  add('waiting', by)
  add('bytes', bytes)
  if redis.call('HINCRBY', P .. 'services', service, by) <= 0 then
    redis.call('HDEL', P .. 'services', service)
    redis.call('DEL', P .. 'ready:' .. service, P .. 'leases:' .. service, P .. 'delayed:' .. service)
  end
end

local function make_ready(id, service)
  local entry = redis.call('XADD', P .. 'ready:' .. service, '*', 'id', id)
  redis.call('HSET', message(id), 'entry', entry, 'next', text(now))
end

-- Out of wherever it waits, whoever has it.
local function take_out(id, service)
  local entry = field(id, 'entry')
  if entry then
    redis.call('XACK', P .. 'ready:' .. service, group, entry)
    redis.call('XDEL', P .. 'ready:' .. service, entry)
  end
  redis.call('HDEL', message(id), 'entry', 'lease')
  redis.call('ZREM', P .. 'delayed:' .. service, id)
  redis.call('ZREM', P .. 'leases:' .. service, id)
end

local function remove(id)
  local facts = redis.call('HMGET', message(id), 'state', 'service', 'bytes')
  if facts[1] == 'waiting' then
    take_out(id, facts[2])
    redis.call('ZREM', P .. 'waiting', id)
    redis.call('ZREM', P .. 'deadlines', id)
    count_waiting(facts[2], -1, -facts[3])
  else
    redis.call('ZREM', P .. 'dead', id)
    redis.call('ZREM', P .. 'deaths', id)
    add('dead', -1)
    add('deadBytes', -facts[3])
  end
  redis.call('ZREM', P .. 'all', id)
  redis.call('DEL', message(id))
end

-- The client's key of a message, where it is still this message's.
local function once_of(id)
  local scope = field(id, 'scope')
  if scope and redis.call('HGET', P .. 'once:' .. scope, 'id') == id then return scope end
  return nil
end

local function free_once(id)
  local scope = once_of(id)
  if scope then redis.call('DEL', P .. 'once:' .. scope) end
end

local function note(id, failure)
  if failure == '' then return end
  local lines = {}
  for line in string.gmatch(field(id, 'errors') or '', '[^\n]+') do lines[#lines + 1] = line end
  lines[#lines + 1] = failure
  redis.call('HSET', message(id), 'errors', table.concat(lines, '\n', math.max(1, #lines - errors_max + 1)))
end

-- A client that sends it again with its key means it: the key is free.
local function die(id, cause)
  local facts = redis.call('HMGET', message(id), 'service', 'bytes', 'seq')
  take_out(id, facts[1])
  free_once(id)
  redis.call('ZREM', P .. 'waiting', id)
  redis.call('ZREM', P .. 'deadlines', id)
  redis.call('ZADD', P .. 'dead', facts[3], id)
  redis.call('ZADD', P .. 'deaths', text(now), id)
  redis.call('HSET', message(id), 'state', 'dead', 'cause', cause, 'next', text(now))
  count_waiting(facts[1], -1, -facts[2])
  add('dead', 1)
  add('deadBytes', facts[2])
end

local function drop_dead_letters(most, bytes)
  while counted('dead') > most or counted('deadBytes') > bytes do
    local oldest = redis.call('ZRANGE', P .. 'deaths', 0, 0)[1]
    if not oldest then return end
    remove(oldest)
    add('dropped', 1)
  end
end

local function has_room(bytes, most, bytes_most)
  return counted('waiting') < most and counted('bytes') + bytes <= bytes_most
end

-- Whether this lease holds its message: also after its time, as long as nobody else has taken it.
local function holds(id, token)
  return field(id, 'lease') == token and field(id, 'state') == 'waiting'
end

local calls = {}

function calls.enqueue(id, route, service, head, body, has_body, window, backoff, backoff_max, scope, request, most, bytes_most)
  if scope ~= '' then
    local known = redis.call('HMGET', P .. 'once:' .. scope, 'request', 'id')
    if known[1] == request then return { 'known', known[2] } end
    if known[1] then return { 'conflict' } end
  end
  local bytes = #head + #body
  if not has_room(bytes, tonumber(most), tonumber(bytes_most)) then return { 'full' } end
  local seq = redis.call('HINCRBY', P .. 'counters', 'seq', 1)
  redis.call('HSET', message(id), 'state', 'waiting', 'route', route, 'service', service, 'head', head, 'bytes', bytes,
    'seq', seq, 'first', text(now), 'deadline', text(now + window), 'window', window, 'backoff', backoff,
    'backoffMax', backoff_max, 'attempts', 0)
  if has_body == '1' then redis.call('HSET', message(id), 'body', body) end
  if scope ~= '' then
    redis.call('HSET', message(id), 'scope', scope, 'request', request)
    redis.call('HSET', P .. 'once:' .. scope, 'request', request, 'id', id)
  end
  redis.call('ZADD', P .. 'all', seq, id)
  redis.call('ZADD', P .. 'waiting', seq, id)
  redis.call('ZADD', P .. 'deadlines', text(now + window), id)
  count_waiting(service, 1, bytes)
  make_ready(id, service)
  return { 'queued', id }
end

function calls.due()
  local found = {}
  local services = redis.call('HKEYS', P .. 'services')
  for _, service in ipairs(services) do
    local leases = P .. 'leases:' .. service
    local ready = redis.call('XLEN', P .. 'ready:' .. service) - redis.call('ZCARD', leases)
    local lapsed = redis.call('ZCOUNT', leases, '-inf', text(now))
    local first = redis.call('ZRANGE', P .. 'delayed:' .. service, 0, 0, 'WITHSCORES')[2]
    if ready > 0 or lapsed > 0 then
      found[#found + 1] = { service, '0' }
    elseif first then
      found[#found + 1] = { service, text(math.max(0, first - now)) }
    end
  end
  return found
end

function calls.reserve(service, most, bytes, lease_ms, consumer)
  local ready, leases, delayed = P .. 'ready:' .. service, P .. 'leases:' .. service, P .. 'delayed:' .. service
  local taken = {}
  most, bytes = tonumber(most), tonumber(bytes)
  local function take(id)
    local facts = redis.call('HMGET', message(id), 'route', 'attempts', 'backoff', 'backoffMax', 'bytes', 'head', 'body', 'deadline')
    if not facts[1] then return end
    local size = tonumber(facts[5])
    if #taken >= most or (#taken > 0 and size > bytes) or tonumber(facts[8]) <= now then
      -- It was read, and cannot be given back to the stream: it may be taken by the next who comes.
      redis.call('ZADD', leases, text(now), id)
      return
    end
    bytes = bytes - size
    local token = redis.call('HINCRBY', P .. 'counters', 'tokens', 1)
    redis.call('HSET', message(id), 'lease', token, 'taker', consumer)
    redis.call('ZADD', leases, text(now + lease_ms), id)
    taken[#taken + 1] = { id, tostring(token), facts[1], facts[2], facts[3], facts[4], facts[5], facts[6], facts[7] }
  end
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', delayed, '-inf', text(now), 'LIMIT', 0, most)) do
    redis.call('ZREM', delayed, id)
    make_ready(id, service)
  end
  -- The group may be there; where somebody has deleted it, it begins with what the stream has.
  redis.pcall('XGROUP', 'CREATE', ready, group, '0', 'MKSTREAM')
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', text(now), 'LIMIT', 0, most)) do
    local entry = field(id, 'entry')
    if entry then redis.call('XCLAIM', ready, group, consumer, 0, entry, 'FORCE', 'JUSTID') end
    take(id)
  end
  if #taken < most then
    local read = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', most - #taken, 'STREAMS', ready, '>')
    for _, entry in ipairs(read and read[1][2] or {}) do
      local id = entry[2][2]
      if field(id, 'entry') == entry[1] then
        take(id)
      else
        redis.call('XACK', ready, group, entry[1])
        redis.call('XDEL', ready, entry[1])
      end
    end
  end
  return taken
end

-- What this taker had when it ended: it has begun anew, and nobody delivers it.
function calls.reclaim(consumer)
  for _, service in ipairs(redis.call('HKEYS', P .. 'services')) do
    local leases = P .. 'leases:' .. service
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', leases, '(' .. text(now), '+inf')) do
      if field(id, 'taker') == consumer then
        redis.call('HDEL', message(id), 'lease')
        redis.call('ZADD', leases, text(now), id)
      end
    end
  end
end

-- Pairs of id and token.
function calls.renew(lease_ms, ...)
  local pairs_of = { ... }
  for at = 1, #pairs_of, 2 do
    local id = pairs_of[at]
    if holds(id, pairs_of[at + 1]) then
      redis.call('ZADD', P .. 'leases:' .. field(id, 'service'), 'XX', text(now + lease_ms), id)
    end
  end
end

function calls.release(...)
  local pairs_of = { ... }
  for at = 1, #pairs_of, 2 do
    local id = pairs_of[at]
    if holds(id, pairs_of[at + 1]) then
      redis.call('HDEL', message(id), 'lease')
      redis.call('ZADD', P .. 'leases:' .. field(id, 'service'), 'XX', text(now), id)
    end
  end
end

function calls.ack(id, kept_ms)
  if field(id, 'state') ~= 'waiting' then return end
  local scope = once_of(id)
  if scope then
    redis.call('PEXPIRE', P .. 'once:' .. scope, kept_ms)
    redis.call('ZADD', P .. 'done', text(now + kept_ms), scope)
  end
  remove(id)
end

function calls.nack(id, token, delay_ms, failure)
  if not holds(id, token) then return end
  local service = field(id, 'service')
  take_out(id, service)
  redis.call('HINCRBY', message(id), 'attempts', 1)
  note(id, failure)
  redis.call('HSET', message(id), 'next', text(now + delay_ms))
  redis.call('ZADD', P .. 'delayed:' .. service, text(now + delay_ms), id)
end

function calls.bury(id, token, cause, failure, most, bytes_most)
  if not holds(id, token) then return end
  redis.call('HINCRBY', message(id), 'attempts', 1)
  note(id, failure)
  die(id, cause)
  drop_dead_letters(tonumber(most), tonumber(bytes_most))
end

function calls.expire(max, most, bytes_most, once_most)
  local deaths = {}
  local at = 0
  while #deaths < tonumber(max) and at < scanned_max do
    local ids = redis.call('ZRANGEBYSCORE', P .. 'deadlines', '-inf', text(now), 'LIMIT', at, max)
    if #ids == 0 then break end
    for _, id in ipairs(ids) do
      local facts = redis.call('HMGET', message(id), 'route', 'service')
      if lease_until(id, facts[2]) > now then
        at = at + 1
      elseif #deaths < tonumber(max) then
        deaths[#deaths + 1] = { id, facts[1], facts[2] }
        die(id, 'deadline')
      end
    end
  end
  drop_dead_letters(tonumber(most), tonumber(bytes_most))
  redis.call('ZREMRANGEBYSCORE', P .. 'done', '-inf', text(now))
  local beyond = math.min(redis.call('ZCARD', P .. 'done') - once_most, 1000)
  if beyond > 0 then
    for _, scope in ipairs(redis.call('ZRANGE', P .. 'done', 0, beyond - 1)) do
      redis.call('DEL', P .. 'once:' .. scope)
      redis.call('ZREM', P .. 'done', scope)
    end
  end
  return deaths
end

local facts_shown = { 'state', 'route', 'service', 'head', 'bytes', 'attempts', 'first', 'next', 'deadline', 'cause', 'errors' }

local function shown(id)
  local facts = redis.call('HMGET', message(id), unpack(facts_shown))
  if facts[1] == 'waiting' and lease_until(id, facts[3]) > now then facts[1] = 'delivering' end
  table.insert(facts, 1, id)
  return facts
end

-- Looks at a bounded number of messages; where there are more it says how to go on.
function calls.list(state, route, service, before, limit)
  local index = P .. (state == '' and 'all' or state == 'dead' and 'dead' or 'waiting')
  local found, looked = {}, 0
  local max = before == '' and '+inf' or '(' .. before
  while true do
    local page = redis.call('ZREVRANGEBYSCORE', index, max, '-inf', 'WITHSCORES', 'LIMIT', 0, 100)
    for at = 1, #page, 2 do
      local facts = redis.call('HMGET', message(page[at]), 'route', 'service')
      if (route == '' or facts[1] == route) and (service == '' or facts[2] == service) then
        local one = shown(page[at])
        if state == '' or one[2] == state then found[#found + 1] = one end
      end
      looked = looked + 1
      if #found >= tonumber(limit) or looked >= scanned_max then
        local rest = redis.call('ZREVRANGEBYSCORE', index, '(' .. page[at + 1], '-inf', 'LIMIT', 0, 1)
        return { #rest > 0 and page[at + 1] or '', found }
      end
      max = '(' .. page[at + 1]
    end
    if #page < 200 then return { '', found } end
  end
end

function calls.get(id)
  if redis.call('EXISTS', message(id)) == 0 then return nil end
  local facts = shown(id)
  facts[#facts + 1] = field(id, 'body')
  return facts
end

function calls.replay(id, most, bytes_most)
  local facts = redis.call('HMGET', message(id), 'state', 'service', 'bytes', 'seq', 'window', 'scope', 'request', 'next')
  local service = facts[2]
  if facts[1] == 'waiting' then
    if not redis.call('ZSCORE', P .. 'delayed:' .. service, id) or tonumber(facts[8]) <= now then return 0 end
    redis.call('ZREM', P .. 'delayed:' .. service, id)
    make_ready(id, service)
    return 1
  end
  if facts[1] ~= 'dead' then return 0 end
  if not has_room(tonumber(facts[3]), tonumber(most), tonumber(bytes_most)) then return -1 end
  redis.call('ZREM', P .. 'dead', id)
  redis.call('ZREM', P .. 'deaths', id)
  redis.call('ZADD', P .. 'waiting', facts[4], id)
  redis.call('ZADD', P .. 'deadlines', text(now + facts[5]), id)
  redis.call('HSET', message(id), 'state', 'waiting', 'attempts', 0, 'deadline', text(now + facts[5]))
  redis.call('HDEL', message(id), 'cause')
  add('dead', -1)
  add('deadBytes', -facts[3])
  count_waiting(service, 1, facts[3])
  if facts[6] and redis.call('EXISTS', P .. 'once:' .. facts[6]) == 0 then
    redis.call('HSET', P .. 'once:' .. facts[6], 'request', facts[7], 'id', id)
  end
  make_ready(id, service)
  return 1
end

function calls.purge(id)
  if redis.call('EXISTS', message(id)) == 0 then return 0 end
  free_once(id)
  remove(id)
  return 1
end

function calls.stats()
  local delivering = 0
  for _, service in ipairs(redis.call('HKEYS', P .. 'services')) do
    delivering = delivering + redis.call('ZCOUNT', P .. 'leases:' .. service, '(' .. text(now), '+inf')
  end
  local oldest = redis.call('ZRANGE', P .. 'waiting', 0, 0)[1]
  return {
    text(counted('waiting') - delivering), text(delivering), text(counted('dead')), text(counted('bytes')),
    text(counted('deadBytes')), text(counted('dropped')), oldest and field(oldest, 'first') or '',
  }
end

return calls[ARGV[1]](unpack(ARGV, 2))
