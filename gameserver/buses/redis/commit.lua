-- One batch: compare every group with the state before it, apply the accepted ones, log, publish.
-- The contract is in gameserver/buses/base.py, the layout of the keys in gameserver/buses/redis/scripts.py.
--
-- KEYS[1]  the world's own key; ARGV[1] the request, MessagePack:
--   {epoch, worker, number, {log_bytes, log_age, command_memory, batch_memory}, groups}      (times in ms)
--   group = {fence, claim, {{player, id, body, {room, ...}}, ...}, parts}
--   part  = {room, base, {entity, ...}, {existed, ...}, {entity, blob, ...}, {deleted, ...},
--            membership, membership_changed, sum_change, bytes}
-- Answers MessagePack: {{result, ...}, {room, seq, ...}}
--   result = 0, or {outcome, room, entity}, or {3, {command, {room, seq, ...}}, ...} without rooms when the body differs

local ACCEPTED, CONFLICT, FENCED, ANSWERED, CLAIMED = 0, 1, 2, 3, 4
local NO_BASE, MEMBERSHIP = -1, '\0'
local CLAIM_REFUSALS, CLAIMS_PER_ROOM = 4, 64
local FORMAT = 3
-- Lua's unpack fails at about 8000 values. Even, because some lists are of pairs.
local CHUNK = 4000
-- The log is trimmed by chunks of this part of its caps, so that most commits only count bytes.
local CHUNKS = 16
-- Keeps the entities' hash from ever being a listpack, where every write walks the whole.
local PADDING = string.rep('.', 64)

-- Redis writes a Lua number as a float with 17 digits: right for these integers, but slow.
local function digits(number)
  return string.format('%d', number)
end

local world = KEYS[1]
local request = cmsgpack.unpack(ARGV[1])
local epoch, worker, number, limits, groups = request[1], request[2], request[3], request[4], request[5]
local log_bytes, log_age, command_memory, batch_memory = limits[1], limits[2], limits[3], limits[4]

local last_key = world .. ':b:' .. worker
local known = redis.call('MGET', world, last_key)
if known[1] ~= digits(epoch) then
  return redis.error_reply('FOREIGNEPOCH the store holds another epoch')
end

local last = known[2]
if last then
  local last_number = struct.unpack('>I8', last)
  if last_number == number then
    return string.sub(last, 9)
  end
  if last_number > number then
    return redis.error_reply('STALEBATCH a newer batch of this worker was decided')
  end
end

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)

local rooms = {}
local function room_of(name)
  local room = rooms[name]
  if not room then
    local fields = redis.call('HMGET', world .. ':m:' .. name, 'seq', 'sum', 'claims', 'bytes', 'chunks')
    room = {
      name = name,
      seq = tonumber(fields[1]) or 0,
      sum = tonumber(fields[2]) or 0,
      claims = fields[3] and cmsgpack.unpack(fields[3]),
      bytes = tonumber(fields[4]) or 0,
      chunks = fields[5],
    }
    rooms[name] = room
  end
  return room
end

local fence
local function current_fence()
  if not fence then
    local lease = redis.call('HMGET', world .. ':lease', 'owner', 'token')
    fence = lease[1] and lease[1] ~= '' and tonumber(lease[2]) or -1
  end
  return fence
end

local generation = math.floor(now / command_memory)
local answers = world .. ':i:' .. digits(generation) .. ':'
local older_answers = world .. ':i:' .. digits(generation - 1) .. ':'

local function answered(commands)
  local found
  for index = 1, #commands do
    local command = commands[index]
    local entry = redis.call('HGET', answers .. command[1], command[2])
      or redis.call('HGET', older_answers .. command[1], command[2])
    if entry then
      found = found or {ANSWERED}
      if string.sub(entry, 1, 8) == command[3] then
        found[#found + 1] = {index - 1, cmsgpack.unpack(string.sub(entry, 9))}
      else
        found[#found + 1] = {index - 1}
      end
    end
  end
  return found
end

local function touches(part, entity)
  if entity == MEMBERSHIP then
    return part[7] or part[8]
  end
  local names = part[3]
  for index = 1, #names do
    if names[index] == entity then
      return true
    end
  end
  return false
end

-- claims = {{entity, owner, refusals left}, ...}, the oldest first
local function refusing_claim(room, part, own)
  for index, claim in ipairs(room.claims) do
    if claim[2] ~= own and touches(part, claim[1]) then
      room.claims_changed = true
      claim[3] = claim[3] - 1
      if claim[3] < 1 then
        table.remove(room.claims, index)
      end
      return claim[1]
    end
  end
end

local function lay_claim(room, entity, owner)
  room.claims = room.claims or {}
  room.claims_changed = true
  for index, claim in ipairs(room.claims) do
    if claim[1] == entity then
      table.remove(room.claims, index)
      break
    end
  end
  room.claims[#room.claims + 1] = {entity, owner, CLAIM_REFUSALS}
  if #room.claims > CLAIMS_PER_ROOM then
    table.remove(room.claims, 1)
  end
end

local function lift_claims(parts, owner)
  for _, part in ipairs(parts) do
    local room = room_of(part[1])
    for index = #(room.claims or {}), 1, -1 do
      if room.claims[index][2] == owner then
        table.remove(room.claims, index)
        room.claims_changed = true
      end
    end
  end
end

local function contested(room, part)
  local base, names, existed = part[2], part[3], part[4]
  local key = world .. ':e:' .. room.name
  for from = 1, #names, CHUNK do
    local to = math.min(from + CHUNK - 1, #names)
    local values = redis.call('HMGET', key, unpack(names, from, to))
    for index = from, to do
      local value = values[index - from + 1]
      if not value then
        if existed[index] then
          return names[index]
        end
      elseif not existed[index] or struct.unpack('>I8', value) > base then
        return names[index]
      end
    end
  end
  if part[7] then
    local value = redis.call('HGET', key, MEMBERSHIP)
    if value and struct.unpack('>I8', value) > base then
      return MEMBERSHIP
    end
  end
end

-- nil when a base is ahead of the store: then the store has lost what this worker knows.
local function judge(group)
  local claim, parts = group[2], group[4]
  if group[1] ~= 0 and group[1] ~= current_fence() then
    return {FENCED, '', ''}
  end
  local found = answered(group[3])
  if found then
    return found
  end
  for index = 1, #parts do
    local part = parts[index]
    local room = room_of(part[1])
    local base = part[2]
    if room.claims then
      local entity = refusing_claim(room, part, claim)
      if entity then
        return {CLAIMED, room.name, entity}
      end
    end
    if base > room.seq then
      return nil
    end
    if base ~= room.seq and base ~= NO_BASE then
      local entity = contested(room, part)
      if entity then
        if claim ~= '' then
          lay_claim(room, entity, claim)
        end
        return {CONFLICT, room.name, entity}
      end
    end
  end
  if claim ~= '' then
    lift_claims(parts, claim)
  end
  return ACCEPTED
end

local results = {}
for index = 1, #groups do
  local result = judge(groups[index])
  if not result then
    return redis.error_reply('FOREIGNEPOCH the store is behind what this worker knows')
  end
  results[index] = result
end

-- Collect: from here on nothing is refused.
local changed = {}
for index = 1, #groups do
  if results[index] == ACCEPTED then
    local parts = groups[index][4]
    for place = 1, #parts do
      local part = parts[place]
      if part[10] ~= '' then
        local room = room_of(part[1])
        if not room.parts then
          room.parts, room.sets, room.deletes = {}, {}, {}
          room.seq = room.seq + 1
          room.stamp = struct.pack('>I8', room.seq)
          changed[#changed + 1] = room
        end
        room.parts[#room.parts + 1] = part[10]
        room.sum = (room.sum + part[9]) % 4294967296
        local sets, entities, deleted = room.sets, part[5], part[6]
        for at = 1, #entities, 2 do
          sets[#sets + 1] = entities[at]
          sets[#sets + 1] = room.stamp .. entities[at + 1]
        end
        for at = 1, #deleted do
          room.deletes[#room.deletes + 1] = deleted[at]
        end
        room.membership_changed = room.membership_changed or part[8]
      end
    end
  end
end

local function call_in_chunks(command, key, list)
  for from = 1, #list, CHUNK do
    redis.call(command, key, unpack(list, from, math.min(from + CHUNK - 1, #list)))
  end
end

-- The chunks, oldest first, are flat triples {started at, first seq, bytes}; the bytes of the last, which
-- is being filled, are counted in a field of their own.
local function append(room, payload)
  local key = world .. ':l:' .. room.name
  redis.call('XADD', key, string.format('%d-0', room.seq), 'c', payload)
  local size = #payload
  local chunks = room.chunks and cmsgpack.unpack(room.chunks) or {}
  local full = room.bytes + size > log_bytes / CHUNKS
  if #chunks > 0 and not full and now - chunks[#chunks - 2] <= log_age / CHUNKS then
    room.bytes = room.bytes + size
    return
  end
  if #chunks > 0 then
    chunks[#chunks] = room.bytes
  end
  local room_left = log_bytes - math.max(size, log_bytes / CHUNKS)
  local kept, first = 0, #chunks + 1
  while first > 1 do
    local bytes, started = chunks[first - 1], chunks[first - 3]
    if kept + bytes > room_left or started < now - log_age - log_age / CHUNKS then
      break
    end
    kept, first = kept + bytes, first - 3
  end
  local remaining = {}
  for index = first, #chunks do
    remaining[#remaining + 1] = chunks[index]
  end
  remaining[#remaining + 1] = now
  remaining[#remaining + 1] = room.seq
  remaining[#remaining + 1] = 0
  if first > 1 then
    redis.call('XTRIM', key, 'MINID', string.format('%d-0', remaining[2]))
  end
  -- An idle room's log goes away by itself; the next chunk renews this well before the youngest entry is too old.
  redis.call('PEXPIRE', key, math.ceil(log_age * (1 + 2 / CHUNKS)))
  room.bytes, room.chunks, room.chunks_changed = size, cmsgpack.pack(remaining), true
end

local seqs = {}
for index = 1, #changed do
  local room = changed[index]
  local header = cmsgpack.pack({FORMAT, epoch, room.seq, room.sum, now, worker, number})
  local count = #room.parts
  local length = count < 16 and string.char(144 + count) or '\220' .. struct.pack('>I2', count)
  room.payload = '\146' .. header .. length .. table.concat(room.parts)
  append(room, room.payload)
  local key = world .. ':e:' .. room.name
  if room.membership_changed then
    room.sets[#room.sets + 1] = MEMBERSHIP
    room.sets[#room.sets + 1] = room.stamp .. PADDING
  end
  call_in_chunks('HSET', key, room.sets)
  call_in_chunks('HDEL', key, room.deletes)
  local meta = world .. ':m:' .. room.name
  local seq, sum, bytes = digits(room.seq), digits(room.sum), digits(room.bytes)
  if room.chunks_changed then
    redis.call('HSET', meta, 'seq', seq, 'sum', sum, 'bytes', bytes, 'chunks', room.chunks)
  else
    redis.call('HSET', meta, 'seq', seq, 'sum', sum, 'bytes', bytes)
  end
  if room.seq == 1 then
    redis.call('SADD', world .. ':rooms', room.name)
  end
  seqs[#seqs + 1] = room.name
  seqs[#seqs + 1] = room.seq
end

for name, room in pairs(rooms) do
  if room.claims_changed then
    if #room.claims > 0 then
      redis.call('HSET', world .. ':m:' .. name, 'claims', cmsgpack.pack(room.claims))
    else
      redis.call('HDEL', world .. ':m:' .. name, 'claims')
    end
  end
end

local answers_expire = digits(command_memory * 2)
for index = 1, #groups do
  -- A group without parts only asks: there is nothing that could be answered again.
  if results[index] == ACCEPTED and #groups[index][4] > 0 then
    for _, command in ipairs(groups[index][3]) do
      local answer = {}
      for _, name in ipairs(command[4]) do
        answer[#answer + 1] = name
        answer[#answer + 1] = room_of(name).seq
      end
      local key = answers .. command[1]
      redis.call('HSET', key, command[2], command[3] .. cmsgpack.pack(answer))
      redis.call('PEXPIRE', key, answers_expire)
    end
  end
end

local reply = cmsgpack.pack({results, seqs})
redis.call('SET', last_key, struct.pack('>I8', number) .. reply, 'PX', digits(batch_memory))
for index = 1, #changed do
  redis.call('SPUBLISH', world .. ':c:' .. changed[index].name, changed[index].payload)
end
return reply
